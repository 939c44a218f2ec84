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

/// Checks every file of a target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        files += 1;
    }
    assert!(files > 0, "no corpus for {target}");
}

#[test]
fn filters() {
    replay("filter", fuzz::filter::check);
}

#[test]
fn paths() {
    replay("path", fuzz::path::check);
}

#[test]
fn patches() {
    replay("patch", fuzz::patch::check);
}

#[test]
fn resources() {
    replay("resource", fuzz::resource::check);
}

#[test]
fn queries() {
    replay("query", fuzz::query::check);
}
