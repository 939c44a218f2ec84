//! Where each value comes from: flag, else environment, else credential, else file, else default; and all that is wrong on
//! the way, each with its place.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::settings::{self, CREDENTIALS, SETTINGS, Setting};
use super::{Config, FILE_NAME, Listen, Mistakes, Overrides, SchemaExtension};

/// How like an unknown key the nearest one has to be for it to be named: below this it is no typing mistake.
const ALIKE: f64 = 0.75;
/// What the name of every variable begins with.
const PREFIX: &str = "SCIMLITE_";
/// Variables of that name which are not settings: the data directory is where the settings are.
const OTHERS: [&str; 1] = ["SCIMLITE_DATA"];
/// Where systemd puts the credentials of a service.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing sets it.
    Default,
    /// This line of the configuration file.
    File(usize),
    /// The credential that is called like the key.
    Credential,
    /// This variable of the environment.
    Environment(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(line) => write!(formatter, "{FILE_NAME}:{line}"),
            Self::Credential => formatter.write_str("credential"),
            Self::Environment(name) => formatter.write_str(name),
            Self::Flag(flag) => formatter.write_str(flag),
        }
    }
}

/// A setting with what it is at present.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// The key, with its section if it has one.
    pub key: &'static str,
    /// The value as it was written where it comes from. Each is good in the file too.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
}

/// The whole configuration with where it comes from and what is wrong with it.
#[derive(Debug)]
pub struct Inspected {
    /// What is in force. A value that is wrong is left out, as if nothing had set it.
    pub config: Config,
    /// Every setting, in the order of the template.
    pub values: Vec<InForce>,
    /// Everything that is wrong, one sentence each, beginning with where it stands.
    pub mistakes: Vec<String>,
}

/// Reads the configuration of the data directory `data_dir` as [`Config::load`] does, and gives all that is wrong with it
/// too.
pub fn inspect(data_dir: &Path, overrides: &Overrides) -> Inspected {
    let file = data_dir.join(FILE_NAME);
    let (text, unreadable) = match fs::read_to_string(&file) {
        Ok(text) => (text, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), None),
        Err(error) => (String::new(), Some(error)),
    };
    let mut inspected = resolve(data_dir, &text, &environment(), overrides);
    if let Some(error) = unreadable {
        let file = file.display();
        inspected
            .mistakes
            .push(format!("cannot read {file}: {error}"));
    }
    inspected
}

/// Where systemd has put the credentials of this process, if it has some.
pub fn credentials() -> Option<PathBuf> {
    std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from)
}

/// What is wrong with the variables of the environment that look like settings and are none. They are not mistakes:
/// Kubernetes sets some for a service of this name.
pub fn strays() -> Vec<String> {
    stray(&environment())
}

pub(super) type Environment = HashMap<String, OsString>;

/// The variables that may matter here.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX) || name == CREDENTIALS_DIRECTORY)
        .collect()
}

pub(super) fn stray(environment: &Environment) -> Vec<String> {
    let known: Vec<_> = SETTINGS.iter().map(Setting::environment_name).collect();
    let mut strays: Vec<_> = environment
        .keys()
        .filter(|name| name.starts_with(PREFIX) && !OTHERS.contains(&name.as_str()))
        .filter(|name| !known.contains(name))
        .map(|name| {
            let nearest = nearest(name, known.iter().map(String::as_str));
            format!("{name}: there is no such setting{nearest}")
        })
        .collect();
    strays.sort_unstable();
    strays
}

/// [`inspect`] with the text of the file and the environment as parameters.
pub(super) fn resolve(
    data_dir: &Path,
    text: &str,
    environment: &Environment,
    overrides: &Overrides,
) -> Inspected {
    let mut all = Inspected {
        config: Config::default_in(data_dir),
        values: SETTINGS.iter().map(default).collect(),
        mistakes: Vec::new(),
    };
    all.take_file(text);
    let credentials = environment.get(CREDENTIALS_DIRECTORY).map(PathBuf::from);
    let credentials = credentials.or_else(|| overrides.credentials.clone());
    for setting in SETTINGS {
        if CREDENTIALS.contains(&setting.key)
            && let Some(directory) = &credentials
            && let file = directory.join(setting.key)
            && file.is_file()
        {
            all.take_text(setting, Source::Credential, file.to_str());
        }
        let name = setting.environment_name();
        if let Some(value) = environment.get(&name) {
            all.take_text(setting, Source::Environment(name), value.to_str());
        }
        if let Some((flag, value)) = overrides.of(setting.key) {
            all.take_text(setting, Source::Flag(flag), Some(value));
        }
    }
    let Listen { scim, admin } = all.config.listen;
    if scim == admin && scim.port() != 0 {
        all.mistakes.push(format!(
            "listen: scim and admin are both {scim}; give one another port"
        ));
    }
    let SchemaExtension { extension, keep } = &all.config.schema;
    if keep
        .iter()
        .any(|entry| entry.eq_ignore_ascii_case(extension))
    {
        all.mistakes.push(format!(
            "schema.keep: {extension} is the extension for attributes of your own, which are kept by their names alone"
        ));
    }
    all
}

/// The sources are taken over one after the other: a later one comes before an earlier one.
impl Inspected {
    /// Fails with all mistakes if there is one.
    pub fn right(&self) -> Result<(), Mistakes> {
        match self.mistakes.is_empty() {
            true => Ok(()),
            false => Err(Mistakes(self.mistakes.clone())),
        }
    }

    /// Takes over what stands in the file, in its order.
    fn take_file(&mut self, text: &str) {
        let line_at = |at: usize| {
            text.get(..at)
                .map_or(1, |before| before.matches('\n').count() + 1)
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut broken = Vec::new();
        for error in errors {
            let line = error.span().map_or(1, |span| line_at(span.start));
            self.mistake(&Source::File(line), error.message());
            broken.push(line);
        }
        for (at, key, value) in flatten(table.into_inner()) {
            let line = line_at(at);
            // What the parser made of a line that is no TOML is nobody's mistake but its own.
            if broken.contains(&line) {
                continue;
            }
            let source = Source::File(line);
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
                let nearest = nearest(&key, SETTINGS.iter().map(|setting| setting.key));
                self.mistake(&source, &format!("{key}: there is no such key{nearest}"));
                continue;
            };
            match Value::deserialize(toml::de::ValueDeserializer::from(value)) {
                Ok(value) => self.take(setting, source, value),
                Err(error) => self.mistake(&source, &format!("{key}: {}", error.message())),
            }
        }
    }

    /// Takes over a text that is no TOML: of a variable, a flag, or a path. None is one that is not UTF-8.
    fn take_text(&mut self, setting: &Setting, source: Source, text: Option<&str>) {
        match text {
            Some(text) => self.take(setting, source, text.into()),
            None => self.mistake(&source, "must be UTF-8"),
        }
    }

    fn take(&mut self, setting: &Setting, source: Source, value: Value) {
        if let Err(what) = (setting.set)(&mut self.config, &value) {
            let what = match source {
                Source::File(_) => format!("{}: {what}", setting.key),
                _ => what,
            };
            return self.mistake(&source, &what);
        }
        let of_key = self.values.iter_mut().find(|held| held.key == setting.key);
        if let Some(held) = of_key {
            (held.value, held.source) = (value, source);
        }
    }

    fn mistake(&mut self, source: &Source, what: &str) {
        self.mistakes.push(format!("{source}: {what}"));
    }
}

/// A setting that nothing sets.
fn default(setting: &Setting) -> InForce {
    InForce {
        key: setting.key,
        value: setting.default_value(),
        source: Source::Default,
    }
}

/// The keys of the file in its order, each with the place where it begins; those of a `[section]` as `section.key`. There
/// is one level of sections.
pub(super) fn flatten(table: DeTable<'_>) -> Vec<(usize, String, Spanned<DeValue<'_>>)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        let (at, name) = (key.span().start, key.into_inner());
        let span = value.span();
        match value.into_inner() {
            // An empty section that nobody knows is a mistake too.
            DeValue::Table(section) if settings::is_section(&name) || !section.is_empty() => {
                for (key, value) in section {
                    let at = key.span().start;
                    flat.push((at, format!("{name}.{}", key.into_inner()), value));
                }
            }
            value => flat.push((at, name.into_owned(), Spanned::new(span, value))),
        }
    }
    flat.sort_by_key(|(at, ..)| *at);
    flat
}

/// The end of a sentence about an unknown name: which of `known` was meant, if one is near.
fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> String {
    // A key without its section is near its name too.
    let name = |key: &'a str| key.rsplit_once('.').map_or(key, |(_, name)| name);
    known
        .map(|key| {
            let whole = strsim::jaro_winkler(typed, key);
            (whole.max(strsim::jaro_winkler(typed, name(key))), key)
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map_or_else(String::new, |(_, key)| format!("; did you mean {key}?"))
}
