//! What a request reads: one resource, lists, searches, and what the appliance tells about itself.

use hyper::header::{ALLOW, ETAG};
use hyper::{Method, Request};
use serde_json::Value;

use super::{Scim, condition, pairs};
use crate::directory::Refusal;
use crate::directory::reading::{PAGE, PAGE_LIMIT};
use crate::scim::message::{Position, list_response};
use crate::scim::query::{Page, Projection, Query};
use crate::scim::schema::ResourceType;
use crate::scim::{Object, bulk, discovery};
use crate::server::answer::{self, Failure, Reply};
use crate::server::route::Endpoint;

impl Scim {
    /// Answers a GET, HEAD or OPTIONS.
    pub(super) async fn read<B>(
        &self,
        request: &Request<B>,
        endpoint: &Endpoint,
    ) -> Result<Reply, Failure> {
        let schemas = self.directory.schemas();
        if request.method() == Method::OPTIONS {
            let mut reply = answer::empty(204);
            answer::set(&mut reply, ALLOW, endpoint.methods());
            return Ok(reply);
        }
        // What a filter would not select must not look selected (RFC 7644 §4).
        let is_discovery = matches!(
            endpoint,
            Endpoint::ServiceProviderConfig | Endpoint::ResourceTypes(_) | Endpoint::Schemas(_)
        );
        if is_discovery && pairs(request).any(|(name, _)| name.eq_ignore_ascii_case("filter")) {
            return Err(Failure::new(403, "this endpoint takes no filter"));
        }
        match endpoint {
            Endpoint::Resource(resource_type, id) => {
                self.resource(request, *resource_type, id).await
            }
            Endpoint::Collection(resource_type) => {
                let query = Query::from_pairs(pairs(request), *resource_type, schemas)?;
                Box::pin(self.list(*resource_type, &query)).await
            }
            Endpoint::Root => {
                let query =
                    |resource_type| Query::from_pairs(pairs(request), resource_type, schemas);
                let (users, groups) = (query(ResourceType::User)?, query(ResourceType::Group)?);
                Box::pin(self.everything(&users, &groups)).await
            }
            Endpoint::ServiceProviderConfig => {
                let limits = discovery::Limits {
                    bulk_operations: bulk::MAX_OPERATIONS as u64,
                    bulk_bytes: self.limits.bulk_size as u64,
                    default_page: PAGE,
                    max_page: PAGE_LIMIT,
                };
                let config = discovery::service_provider_config(&limits, self.directory.base());
                Ok(answer::object(200, &config))
            }
            Endpoint::ResourceTypes(id) => described(
                discovery::resource_types(schemas, self.directory.base()),
                id.as_deref(),
                "ResourceType",
            ),
            Endpoint::Schemas(id) => described(
                discovery::schemas(schemas, self.directory.base()),
                id.as_deref(),
                "Schema",
            ),
            Endpoint::Search(_) | Endpoint::Bulk | Endpoint::Me => {
                Err(Failure::new(405, "this endpoint is not read by GET"))
            }
        }
    }

    /// Answers a POST to `.search` (RFC 7644 §3.4.3): of one type, or of all.
    pub(super) async fn search(
        &self,
        resource_type: Option<ResourceType>,
        body: Value,
    ) -> Result<Reply, Failure> {
        let schemas = self.directory.schemas();
        match resource_type {
            Some(resource_type) => {
                let query = Query::from_search(body, resource_type, schemas)?;
                self.list(resource_type, &query).await
            }
            None => {
                let users = Query::from_search(body.clone(), ResourceType::User, schemas)?;
                let groups = Query::from_search(body, ResourceType::Group, schemas)?;
                self.everything(&users, &groups).await
            }
        }
    }

    async fn resource<B>(
        &self,
        request: &Request<B>,
        resource_type: ResourceType,
        id: &str,
    ) -> Result<Reply, Failure> {
        let schemas = self.directory.schemas();
        let projection = Projection::from_pairs(pairs(request), resource_type, schemas)?;
        let found = self.directory.read(resource_type, id, &projection).await?;
        let condition = condition(request);
        if condition.holds(&found.etag) {
            let mut reply = answer::scim(200, found.json);
            answer::set(&mut reply, ETAG, &found.etag);
            return Ok(reply);
        }
        if condition.if_none_match.is_none() {
            return Err(Refusal::Changed(found.etag).into());
        }
        let mut reply = answer::empty(304);
        answer::set(&mut reply, ETAG, &found.etag);
        Ok(reply)
    }

    async fn list(&self, resource_type: ResourceType, query: &Query) -> Result<Reply, Failure> {
        let listing = self.directory.list(resource_type, query).await?;
        let position = match query.page {
            Page::Index { start, .. } => Position::Index(start),
            Page::Cursor { .. } => Position::Cursor(listing.next.clone()),
        };
        let list = list_response(listing.total, position, &listing.resources);
        Ok(answer::scim(200, list))
    }

    /// A page of all users and, behind them, all groups.
    async fn everything(&self, users: &Query, groups: &Query) -> Result<Reply, Failure> {
        let listing = self.directory.everything(users, groups).await?;
        let start = match users.page {
            Page::Index { start, .. } => start,
            Page::Cursor { .. } => 1,
        };
        let list = list_response(listing.total, Position::Index(start), &listing.resources);
        Ok(answer::scim(200, list))
    }
}

/// A resource of the appliance's own, as lists take them.
fn json(resource: Object) -> String {
    Value::Object(resource).to_string()
}

/// All of a discovery list, or the one with this id.
fn described(
    resources: Vec<Object>,
    id: Option<&str>,
    what: &'static str,
) -> Result<Reply, Failure> {
    let Some(id) = id else {
        let total = resources.len() as u64;
        let resources: Vec<_> = resources.into_iter().map(json).collect();
        return Ok(answer::scim(
            200,
            list_response(total, Position::Index(1), &resources),
        ));
    };
    match discovery::find(resources, id) {
        Some(resource) => Ok(answer::object(200, &resource)),
        None => Err(Refusal::NotFound {
            what,
            id: id.to_owned(),
        }
        .into()),
    }
}
