//! The configuration file that `init` writes: every key explained and commented out at its default, but for the host.

use toml::Value;

use super::settings::SETTINGS;

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
        let (section, name) = setting.section_and_name();
        text.push('\n');
        if let Some(section) = section
            && present != Some(section)
        {
            text.push_str(&format!("[{section}]\n"));
            present = Some(section);
        }
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
