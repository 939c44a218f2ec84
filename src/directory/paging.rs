//! Pages of lists that may be long: of how many items and bytes at the most, and where the next one starts. A place in a
//! list is a row number that no later change moves, so pages stay right while others write.

use std::io;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::store::list::PAGE_BYTES;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Behind the item at this place; 0 for the start.
    pub after: i64,
    /// So many items at the most.
    pub most: usize,
    /// So many bytes of JSON, and the item that crosses them.
    bytes: usize,
}

impl Span {
    /// A page of at most `most` items behind `after`, as large as one answer may be.
    pub fn page(after: i64, most: usize) -> Self {
        let bytes = PAGE_BYTES;
        Self { after, most, bytes }
    }

    /// The whole list.
    pub fn everything() -> Self {
        Self {
            after: 0,
            most: usize::MAX,
            bytes: usize::MAX,
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// The place of the last of them, if more follow.
    pub next: Option<i64>,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(each).collect(),
            next: self.next,
        }
    }
}

/// A page on its way.
pub(super) struct Filling<T> {
    span: Span,
    items: Vec<T>,
    bytes: usize,
    last: i64,
    more: bool,
}

impl<T: Serialize> Filling<T> {
    /// An empty page.
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            items: Vec::new(),
            bytes: 0,
            last: span.after,
            more: false,
        }
    }

    /// Takes the item at `place`, or ends the page in front of it.
    pub(super) fn take(&mut self, place: i64, item: T) -> ControlFlow<()> {
        if self.items.len() >= self.span.most || self.bytes > self.span.bytes {
            self.more = true;
            return ControlFlow::Break(());
        }
        let mut counted = Counted(0);
        // Counting cannot fail, and what cannot be written as JSON has no length.
        let _ = serde_json::to_writer(&mut counted, &item);
        self.bytes = self.bytes.saturating_add(counted.0);
        self.last = place;
        self.items.push(item);
        ControlFlow::Continue(())
    }

    /// The page as far as it came.
    pub(super) fn done(self) -> Page<T> {
        Page {
            items: self.items,
            next: self.more.then_some(self.last),
        }
    }
}

/// Counts the bytes that are written to it.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items and the next place of a page over strings at the places 1, 2, …
    fn page(span: Span, items: &[&str]) -> (usize, Option<i64>) {
        let mut page = Filling::new(span);
        for (place, item) in (span.after + 1..).zip(items) {
            if page.take(place, *item).is_break() {
                break;
            }
        }
        let page = page.done();
        (page.items.len(), page.next)
    }

    #[test]
    fn a_page_ends_at_its_number_and_at_its_bytes() {
        let items = ["aaaa"; 4];
        assert_eq!(page(Span::page(0, 10), &items), (4, None));
        assert_eq!(page(Span::page(0, 4), &items), (4, None), "nothing follows");
        assert_eq!(page(Span::page(7, 3), &items), (3, Some(10)));
        let few_bytes = Span {
            bytes: 6,
            ..Span::everything()
        };
        assert_eq!(page(few_bytes, &items), (2, Some(2)));
        let no_bytes = Span {
            bytes: 0,
            ..Span::everything()
        };
        assert_eq!(page(no_bytes, &items), (1, Some(1)), "one at the least");
        assert_eq!(page(Span::everything(), &items), (4, None));
    }
}
