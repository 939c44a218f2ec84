//! Runs what the fuzz targets check over their corpus: seeds, and what a fuzzer found once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

/// Checks every file of a target's corpus, and `more` inputs that are made of them: the same ones in each run.
fn replay(target: &str, more: usize, check: fn(&[u8])) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = directory
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut corpus = Vec::new();
    for path in paths {
        println!("{}", path.display());
        corpus.push(std::fs::read(path).unwrap());
        check(corpus.last().unwrap());
    }
    assert!(!corpus.is_empty(), "no corpus for {target}");
    let mut chance = Chance(1);
    for _ in 0..more {
        let input = chance.changed(&corpus);
        // The harness shows it if the check fails.
        println!("{}", input.escape_ascii());
        check(&input);
    }
}

/// Xorshift: the same numbers in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    /// One of the corpus with some bytes taken out, repeated, replaced, or taken from another.
    fn changed(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let start = self.below(input.len() + 1);
            let end = (start + self.below(9)).min(input.len());
            let new = match self.below(5) {
                0 => Vec::new(),
                1 => input[start..end].repeat(2),
                2 => vec![self.below(256) as u8],
                3 => b"\"\\{}[]:,.=%\r\n \0"[self.below(15)..].to_vec(),
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    other[from..].iter().take(32).copied().collect()
                }
            };
            input.splice(start..end, new);
        }
        input
    }
}

#[test]
fn filters() {
    replay("filter", 1500, fuzz::filter::check);
}

#[test]
fn paths() {
    replay("path", 3000, fuzz::path::check);
}

#[test]
fn patches() {
    replay("patch", 500, fuzz::patch::check);
}

#[test]
fn resources() {
    replay("resource", 1000, fuzz::resource::check);
}

#[test]
fn queries() {
    replay("query", 1000, fuzz::query::check);
}

#[test]
fn configurations() {
    replay("config", 500, fuzz::config::check);
}

#[test]
fn requests() {
    replay("http", 500, fuzz::http::check);
}

#[test]
fn authorizations() {
    replay("authorization", 500, fuzz::http::check_authorization);
}
