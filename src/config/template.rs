//! The configuration as a file: what `init` writes, every key explained and commented out at its default but for the host;
//! and what is in force, with where it comes from.

use toml::Value;

use super::InForce;
use super::settings::{SETTINGS, section_and_name};

const INTRODUCTION: &str = "\
# Configuration of Scimlite. Every key is shown with its default; take away the # to change it, then restart.
#
# A flag of the command line comes before a variable of the environment, and that before this file. The variable of a
# key is SCIMLITE_, the section and the key in capitals: limits.idle is SCIMLITE_LIMITS_IDLE. Lists take commas there.
# `scimlite check` finds mistakes; `scimlite check --print` shows what is in force, and from where.
";

/// The text of a new configuration file for `host`, a checked host name or address.
pub fn template(host: &str) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut present = None;
    for setting in SETTINGS {
        text.push('\n');
        let name = begin(&mut text, &mut present, setting.key);
        for line in setting.about.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        // A space after the # marks words; none, a setting.
        let line = match setting.key {
            "host" => format!("host = {}\n", Value::from(host)),
            _ => format!("#{name} = {}\n", setting.default),
        };
        text.push_str(&line);
    }
    text
}

/// The text of a file that says what `values`, all the settings in their order, say; a comment tells where each comes
/// from.
pub fn in_force(values: &[InForce]) -> String {
    let mut text = String::new();
    let mut present = None;
    for InForce { key, value, source } in values {
        let name = begin(&mut text, &mut present, key);
        text.push_str(&format!("{name} = {value}  # {source}\n"));
    }
    text
}

/// Begins the section of `key` where `present` is another one, and gives its name within it.
fn begin(text: &mut String, present: &mut Option<&'static str>, key: &'static str) -> &'static str {
    let (section, name) = section_and_name(key);
    if let Some(section) = section
        && *present != Some(section)
    {
        text.push_str(&format!("[{section}]\n"));
        *present = Some(section);
    }
    name
}
