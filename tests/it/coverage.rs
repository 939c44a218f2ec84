//! Every numbered case of the reference on Entra's behaviour is told by a scenario of the corpus or by a test here, or
//! stands below with the reason why it cannot be.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// What cannot be decided on one server without a tenant, and why.
const UNDECIDABLE: [(&str, &str); 9] = [
    ("C-06", "OAuth 2.0 client credentials are not built"),
    ("C-07", "workload identity federation is not built"),
    ("C-09", "the reference has no such case"),
    ("C-34", "the reference has no such case"),
    ("C-38", "the reference has no such case"),
    ("C-39", "the reference has no such case"),
    ("C-89", "the reference has no such case"),
    (
        "C-112",
        "what an administrator types into Microsoft's Logic App",
    ),
    ("T-32", "there is no token endpoint"),
];

/// The numbers that the scenarios of the corpus name.
fn in_corpus(root: &Path) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("corpus")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let scenarios: Vec<Value> = serde_json::from_str(&text).unwrap();
        let cases = scenarios
            .iter()
            .flat_map(|scenario| scenario["cases"].as_array().unwrap());
        named.extend(cases.map(|case| case.as_str().unwrap().to_owned()));
    }
    named
}

/// The numbers that the tests in Rust name, this file left aside.
fn in_tests(root: &Path) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("it")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().unwrap() == "coverage" {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        named.extend(words.filter(|word| is_case(word)).map(str::to_owned));
    }
    named
}

fn is_case(word: &str) -> bool {
    let number = word.strip_prefix("C-").or_else(|| word.strip_prefix("T-"));
    number.is_some_and(|number| number.len() >= 2 && number.bytes().all(|b| b.is_ascii_digit()))
}

#[test]
fn every_case_of_the_reference_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut told = in_corpus(&root);
    told.extend(in_tests(&root));
    let cases = (1..=112).map(|number| format!("C-{number:02}"));
    let traps = (1..=38).map(|number| format!("T-{number:02}"));
    for case in cases.chain(traps) {
        let why = UNDECIDABLE.iter().find(|(name, _)| *name == case);
        match why {
            None => assert!(told.contains(&case), "nothing tells of {case}"),
            Some((_, why)) => assert!(!told.contains(&case), "{case} is told, in spite of: {why}"),
        }
    }
}
