//! Pages of lists that may be long: of how many items and bytes at the most, and where the next one starts. A place in a
//! list is one that no later change moves (a row number, behind what the list is sorted by), so pages stay right while
//! others write.

use std::io;
use std::ops::ControlFlow;

use serde::Serialize;

/// Bytes on a page at the most, as the client gets them and whatever the number of its items; a page has one item at the
/// least. What a page leaves out for this, the next one has.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Behind the item at this place; 0 for the start.
    pub after: i64,
    /// So many items at the most.
    pub most: usize,
    /// So many bytes of JSON at the most, or one item.
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
pub(super) struct Filling<T, P = i64> {
    most: usize,
    bytes: usize,
    items: Vec<T>,
    /// Bytes of the items so far.
    taken: usize,
    last: Option<P>,
    /// Something follows: the page has ended.
    more: bool,
}

impl<T> Filling<T> {
    /// An empty page.
    pub(super) fn new(span: Span) -> Self {
        Self {
            last: Some(span.after),
            ..Filling::within(span)
        }
    }

    /// The page as far as it came.
    pub(super) fn done(self) -> Page<T> {
        let (items, next) = self.parts();
        Page { items, next }
    }
}

impl<T, P> Filling<T, P> {
    /// An empty page that is as long as `span` says and starts elsewhere.
    pub(super) fn within(span: Span) -> Self {
        Self {
            most: span.most,
            bytes: span.bytes,
            items: Vec::new(),
            taken: 0,
            last: None,
            more: false,
        }
    }

    /// The items so far, and the place of the last of them if more follow.
    pub(super) fn parts(self) -> (Vec<T>, Option<P>) {
        (self.items, self.last.filter(|_| self.more))
    }

    /// Whether the page has ended, because it has all its items and another one is there. Spares making that one.
    pub(super) fn is_full(&mut self) -> bool {
        self.more |= self.items.len() >= self.most;
        self.more
    }
}

impl<T, P> Filling<T, P> {
    /// Takes the item at `place`, which has `bytes` as JSON, or ends the page in front of it.
    pub(super) fn take_sized(&mut self, place: P, bytes: usize, item: T) -> ControlFlow<()> {
        if self.is_full() {
            return ControlFlow::Break(());
        }
        let taken = self.taken.saturating_add(bytes);
        if taken > self.bytes && !self.items.is_empty() {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.taken = taken;
        self.last = Some(place);
        self.items.push(item);
        ControlFlow::Continue(())
    }
}

impl<T: Serialize, P> Filling<T, P> {
    /// Takes the item at `place`, or ends the page in front of it.
    pub(super) fn take(&mut self, place: P, item: T) -> ControlFlow<()> {
        let mut counted = Counted(0);
        // Counting cannot fail, and what cannot be written as JSON has no length.
        let _ = serde_json::to_writer(&mut counted, &item);
        self.take_sized(place, counted.0, item)
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
        for bytes in [6, 11, 12, 17] {
            let few_bytes = Span {
                bytes,
                ..Span::everything()
            };
            assert_eq!(page(few_bytes, &items), (bytes / 6, Some(bytes as i64 / 6)));
        }
        let no_bytes = Span {
            bytes: 0,
            ..Span::everything()
        };
        assert_eq!(page(no_bytes, &items), (1, Some(1)), "one at the least");
        assert_eq!(page(Span::everything(), &items), (4, None));
    }
}
