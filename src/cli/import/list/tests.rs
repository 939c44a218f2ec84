//! Lists as people and programs write them.

use super::*;
use crate::directory::by_hand::{PreservedBy, Quota};

fn lines(text: &str) -> Vec<Line> {
    read(text.as_bytes(), None).unwrap()
}

fn mistake(text: &str) -> String {
    format!("{:#}", read(text.as_bytes(), None).unwrap_err())
}

/// What is wrong with the one line of a list.
fn wrong(text: &str) -> String {
    let mut lines = lines(text);
    assert_eq!(lines.len(), 1, "{text}");
    lines.remove(0).account.unwrap_err()
}

/// The lines' numbers and emails; none for a line that cannot be read.
fn emails(text: &str) -> Vec<(u64, Option<String>)> {
    let lines = lines(text).into_iter();
    lines
        .map(|line| (line.number, line.account.ok().map(|account| account.email)))
        .collect()
}

fn some(number: u64, email: &str) -> (u64, Option<String>) {
    (number, Some(email.to_owned()))
}

#[test]
fn the_beginning_tells_what_a_list_is() {
    let expected = [some(2, "a@x.test"), some(3, "b@x.test")];
    for text in [
        "email,name\na@x.test,A\nb@x.test,B\n",
        "\u{feff}email,name\r\na@x.test,A\r\nb@x.test,B",
        "name, EMAIL\nA, a@x.test \n,b@x.test\n",
    ] {
        assert_eq!(emails(text), expected, "{text}");
    }
    let expected = [some(1, "a@x.test"), some(2, "b@x.test")];
    for text in [
        r#"[{"email":"a@x.test"},{"email":"b@x.test","name":null}]"#,
        "\u{feff}\n  [ {\"email\":\"a@x.test\"} , {\"email\":\" b@x.test\"}\n]\n",
        "{\"email\":\"a@x.test\"}\n{\"email\":\"b@x.test\"}\n",
        "{\"email\":\"a@x.test\"}{\"email\":\"b@x.test\"}",
    ] {
        assert_eq!(emails(text), expected, "{text}");
    }
    for text in ["[]", "email\n", "{}"] {
        assert!(
            lines(text).iter().all(|line| line.account.is_err()),
            "{text}"
        );
    }
    assert!(read("[]".as_bytes(), Some(Format::Csv)).is_err());
    assert!(read("email\na".as_bytes(), Some(Format::Json)).is_err());
}

#[test]
fn a_record_may_have_several_lines_and_is_named_by_its_first() {
    let text = "email,name\n\"a@x.test\",\"Lee, \"\"Anna\"\"\nof Sales\"\nb@x.test,B\n";
    assert_eq!(emails(text), [some(2, "a@x.test"), some(4, "b@x.test")]);
    let long = format!("email,name\na@x.test,{}\nb@x.test,B\n", "x".repeat(5000));
    assert_eq!(emails(&long), [some(2, "a@x.test"), some(3, "b@x.test")]);
}

#[test]
fn a_line_has_the_number_that_an_editor_shows() {
    let expected = [
        some(2, "a@x.test"),
        some(5, "b@x.test"),
        some(8, "c@x.test"),
    ];
    for text in [
        "email,name\na@x.test,A\n\n\nb@x.test,\"B\nof\"\n\nc@x.test,C",
        "email,name\r\na@x.test,\"A\"\r\n\r\n\r\nb@x.test,\"\r\nB\"\r\n\r\nc@x.test,C\r\n\r\n",
        "email,name\na@x.test,A\n\n\nb@x.test,\"B\n\"\n\nc@x.test,C\n",
    ] {
        assert_eq!(emails(text), expected, "{text}");
    }
    let after_the_header = "\nemail\n\na@x.test\n";
    assert_eq!(emails(after_the_header), [some(4, "a@x.test")]);
}

#[test]
fn whose_a_refused_line_is_stays_known() {
    let text = "email,quota_gb\na@x.test,-1\nb@x.test\nc@x.test,1,2\n";
    let json = r#"[{"email":"a@x.test","quota_gb":-1},{"name":["B"],"email":"b@x.test"},{"email":"c@x.test","status":"x"}]"#;
    for text in [text, json] {
        let lines = lines(text);
        let refused = lines.iter().filter(|line| line.account.is_err());
        let emails: Vec<_> = refused.map(|line| &*line.email).collect();
        assert_eq!(emails, ["a@x.test", "b@x.test", "c@x.test"], "{text}");
    }
}

#[test]
fn a_line_with_a_mistake_spoils_no_other() {
    let text = "email,name\na@x.test\nb@x.test,B\n,C\n";
    assert_eq!(emails(text), [(2, None), some(3, "b@x.test"), (4, None)]);
    let latin = b"email,name\na@x.test,\xe4\nb@x.test,B\n";
    let lines = read(&latin[..], None).unwrap();
    assert!(lines[0].account.as_ref().unwrap_err().contains("UTF-8"));
    assert!(lines[1].account.is_ok());
    assert_eq!(
        emails("[1,{\"email\":\"a@x.test\"}]"),
        [(1, None), some(2, "a@x.test")]
    );
    for (line, said) in [
        (r#"{"name":"A"}"#, "no email"),
        (r#"{"email":"a","quota_gb":-1}"#, "quota_gb"),
        (r#"{"email":"a","quota_gb":1.5}"#, "quota_gb"),
        (r#"{"email":"a","name":["A"]}"#, "name"),
        (r#"{"email":"a","status":"gone"}"#, "active, preserved"),
        (r#"{"email":"a","preserved_by":"idp"}"#, "preserved_by"),
        (
            r#"{"email":"a","status":"preserved","preserved_at":"soon"}"#,
            "preserved_at",
        ),
        (r#"{"email":"a","legal_hold":"maybe"}"#, "legal_hold"),
    ] {
        let why = wrong(line);
        assert!(why.contains(said), "{line}: {why}");
    }
}

#[test]
fn a_doubtful_list_is_refused_whole() {
    for (text, said) in [
        ("", "email"),
        ("name\nA\n", "no column email"),
        ("email,qouta_gb\na,1\n", "qouta_gb"),
        ("email,name,Name\na,A,B\n", "twice"),
        ("email;name\na;A\n", "email;name"),
        ("{\"email\":\"a\"}\n{\"mail\":\"b\"}", "account 2"),
        ("[{\"email\":\"a\"},{\"mail\":\"b\"}]", "account 2"),
        ("[{\"mail\":\"b\"}]", "no column \"mail\""),
        ("[{\"email\":\"a\"}", "not JSON"),
        ("[{\"email\":\"a\"}] x", "not JSON"),
        ("{\"email\":\"a\"}\n{\"email\"", "not JSON"),
    ] {
        let why = mistake(text);
        assert!(why.contains(said) && !why.contains('\n'), "{text}: {why}");
        let unknown = text.contains("\"mail\"");
        assert!(!unknown || !why.contains("not JSON"), "{text}: {why}");
    }
}

#[test]
fn every_column_of_an_export_is_known() {
    let text = "id,username,email,name,upn,status,preserved_by,preserved_at,profile,storage,quota_gb,managed_by,mapping,\
                legal_hold,scim_visible,external_id,created,modified\n\
                1,a,a@x.test,A,up,preserved,idp,2026-01-31T09:30:00.000Z,P,S,7,idp,M,true,false,ext,x,y\n";
    let account = lines(text).remove(0).account.unwrap();
    let (by, since) = account.preserved.unwrap();
    assert_eq!(by, PreservedBy::Idp);
    assert_eq!(since.unwrap().to_string(), "2026-01-31T09:30:00Z");
    assert!(account.removed && account.legal_hold);
    assert!(matches!(account.quota, Quota::InForce(7)));
    let texts = [
        account.name,
        account.upn,
        account.external_id,
        account.profile,
        account.storage,
    ];
    assert_eq!(texts.map(Option::unwrap), ["A", "up", "ext", "P", "S"]);
    let plain = lines("email,status\na,preserved\n")
        .remove(0)
        .account
        .unwrap();
    assert_eq!(plain.preserved, Some((PreservedBy::Admin, None)));
    assert!(!plain.removed && !plain.legal_hold);
}
