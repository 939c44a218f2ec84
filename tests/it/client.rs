//! An independent SCIM client: one identity (token and HTTP connections) against one server, over TLS that trusts the
//! certificate from `init` and nothing else. It notes whatever no answer may ever be, so that every test checks it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, ClientBuilder, Method};
use serde_json::{Value, json};

/// The media type of every SCIM body (RFC 7644 §3.1).
pub const SCIM_JSON: &str = "application/scim+json";

/// How many characters of an unexpected body a failure shows.
const SHOWN: usize = 2000;

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body; null if there was none, a string if it was not JSON.
    pub json: Value,
}

impl Answer {
    /// The answer itself, if it has this status; shows it otherwise.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        let shown: String = self.json.to_string().chars().take(SHOWN).collect();
        assert_eq!(self.status, status, "{shown}");
        self
    }

    /// Asserts an error with this status and scimType, null for one that has none. Its shape is checked for any.
    #[track_caller]
    pub fn expect_error(self, status: u16, scim_type: impl Into<Value>) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json["scimType"], scim_type.into());
        answer
    }

    /// A header as text, empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The sentence of an error.
    pub fn detail(&self) -> &str {
        self.json["detail"].as_str().unwrap_or_default()
    }

    /// The id under which the audit knows the request.
    pub fn request_id(&self) -> &str {
        self.header("x-request-id")
    }

    /// The `id` of the resource.
    #[track_caller]
    pub fn id(&self) -> String {
        self.json["id"].as_str().expect("an id").to_owned()
    }

    /// The number of hits of a list.
    #[track_caller]
    pub fn total(&self) -> u64 {
        self.json["totalResults"].as_u64().expect("a list")
    }
}

/// A SCIM client with a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    origin: String,
    token: Option<String>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Client {
    /// A client of the server at `https://localhost:port`, trusting `ca` (PEM) alone.
    pub fn new(port: u16, ca: &[u8], violations: Arc<Mutex<Vec<String>>>) -> Self {
        Self::build(port, ca, violations, |builder| builder)
    }

    /// The same, speaking HTTP/1.1 only, as Entra does.
    pub fn http1(port: u16, ca: &[u8], violations: Arc<Mutex<Vec<String>>>) -> Self {
        Self::build(port, ca, violations, ClientBuilder::http1_only)
    }

    /// The same, with connections from `address`.
    pub fn from_address(
        port: u16,
        ca: &[u8],
        violations: Arc<Mutex<Vec<String>>>,
        address: IpAddr,
    ) -> Self {
        Self::build(port, ca, violations, |builder| {
            builder.local_address(address)
        })
    }

    fn build(
        port: u16,
        ca: &[u8],
        violations: Arc<Mutex<Vec<String>>>,
        adapt: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Self {
        let builder = reqwest::Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(ca).unwrap())
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .resolve("localhost", SocketAddr::from(([127, 0, 0, 1], 0)))
            .timeout(Duration::from_secs(60));
        Self {
            http: adapt(builder).build().unwrap(),
            origin: format!("https://localhost:{port}"),
            token: None,
            violations,
        }
    }

    /// The same connections with another token, none for an anonymous client.
    pub fn with_token<'a>(&self, token: impl Into<Option<&'a str>>) -> Self {
        Self {
            token: token.into().map(str::to_owned),
            ..self.clone()
        }
    }

    /// One request to a path of the server (base path included). `headers` replace those that the client would send;
    /// an empty value takes one away. Fails only if there was no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, reqwest::Error> {
        let answer = self.exchange(method, path, headers, body).await?;
        self.note(method, path, &answer);
        Ok(answer)
    }

    /// The same, whether or not the answer is one of SCIM.
    pub async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, reqwest::Error> {
        let mut map = HeaderMap::new();
        if let Some(token) = &self.token {
            map.insert(AUTHORIZATION, text(&format!("Bearer {token}")));
        }
        if body.is_some() {
            map.insert(CONTENT_TYPE, text("application/scim+json; charset=utf-8"));
        }
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.remove(&name);
            if !value.is_empty() {
                map.insert(name, text(value));
            }
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.origin);
        let mut request = self.http.request(method, url).headers(map);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?;
        Ok(Answer {
            status,
            headers,
            json: match body.as_ref() {
                [] => Value::Null,
                bytes => serde_json::from_slice(bytes)
                    .unwrap_or_else(|_| String::from_utf8_lossy(bytes).into()),
            },
        })
    }

    /// One request below `/scim`; null for no body.
    pub async fn try_scim(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Answer, reqwest::Error> {
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        self.send(method, &format!("/scim{path}"), &[], body).await
    }

    /// The same, of a server that has to answer.
    pub async fn scim(&self, method: &str, path: &str, body: Value) -> Answer {
        let answer = self.try_scim(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// GET below `/scim`.
    pub async fn get(&self, path: &str) -> Answer {
        self.scim("GET", path, Value::Null).await
    }

    /// POST of a user.
    pub async fn create(&self, user: Value) -> Answer {
        self.scim("POST", "/Users", user).await
    }

    /// PATCH of a user.
    pub async fn patch(&self, id: &str, operations: Value) -> Answer {
        let body = json!({"Operations": operations});
        self.scim("PATCH", &format!("/Users/{id}"), body).await
    }

    /// DELETE of a user that is there.
    pub async fn delete(&self, id: &str) {
        let path = format!("/Users/{id}");
        self.scim("DELETE", &path, Value::Null).await.expect(204);
    }

    /// The users that a filter finds.
    pub async fn find(&self, filter: &str) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("filter", filter)
            .finish();
        self.get(&format!("/Users?{query}")).await.expect(200)
    }

    /// Notes what is wrong with any answer, whatever was asked (C-79, T-31, T-36, reference §25).
    fn note(&self, method: &str, path: &str, answer: &Answer) {
        let complain = |what: String| {
            let status = answer.status;
            let complaint = format!("{method} {path} -> {status}: {what}");
            self.violations.lock().unwrap().push(complaint);
        };
        if answer.header("x-request-id").is_empty() {
            complain("no X-Request-Id".into());
        }
        if answer.json.is_null() {
            return;
        }
        let media_type = answer.header("content-type");
        if media_type.split(';').next() != Some(SCIM_JSON) {
            complain(format!("content type `{media_type}`"));
        }
        if !answer.json.is_object() {
            complain(format!("not a JSON object: {}", answer.json));
        }
        let json = &answer.json;
        let text = |key: &str| json[key].as_str().unwrap_or_default();
        if answer.status >= 400 {
            let right = json["schemas"] == json!([ERROR])
                && text("status") == answer.status.to_string()
                && !text("detail").is_empty();
            if !right {
                complain(format!("not a SCIM error: {json}"));
            }
        } else if let Some(total) = json.get("totalResults") {
            let shown = json["Resources"].as_array().map(Vec::len);
            let right = json["schemas"] == json!([LIST_RESPONSE])
                && total.is_u64()
                && json["itemsPerPage"].as_u64() == shown.map(|shown| shown as u64);
            if !right {
                complain(format!("not a list: {json}"));
            }
        }
        for found in oddities(&answer.json, String::new()) {
            complain(found);
        }
    }
}

/// Nulls, and strings where a boolean is due, anywhere in an answer.
fn oddities(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::Null => vec![format!("null at {at}")],
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| oddities(item, format!("{at}/{index}")))
            .collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, item)| {
                let at = format!("{at}/{key}");
                match (key.as_str(), item) {
                    ("active" | "primary", Value::String(_)) => vec![format!("string at {at}")],
                    ("id", Value::Number(_)) => vec![format!("number at {at}")],
                    _ => oddities(item, at),
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap()
}
