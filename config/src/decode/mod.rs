//! A small decoder that reports every fault of a file at once.
//!
//! serde stops at the first error and forgets where a value stood, so relations between values
//! could not name a line. Here each table is a [`Table`]: asking it for a key marks the key as
//! known, a value that breaks its rule is recorded and reading goes on, and whatever was never
//! asked for is an unknown key.

mod report;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use report::Report;
pub(crate) use value::{Secret, Value, show};

use coordinator_core::ids::{ApplianceName, NodeId};

/// Most elements of one array: far beyond any cluster, and a bound on the work that a file asks for.
const MAX_ELEMENTS: usize = 1_000;

/// A table being read.
pub(crate) struct Table<'a> {
    report: &'a Report,
    entries: &'a DeTable<'a>,
    /// Where it stands: the line of a fault that belongs to no key.
    span: Range<usize>,
    /// Empty for the file itself, else for instance `group[dmz].policy`.
    path: String,
    asked: Vec<&'static str>,
    /// Which keys are known depends on a value that is wrong: none is called unknown.
    lenient: bool,
}

impl<'a> Table<'a> {
    /// Reads the file's top level, and then reports what `read` did not ask for.
    pub(crate) fn read_file<T>(
        report: &'a Report,
        document: &'a Spanned<DeTable<'a>>,
        read: impl FnOnce(&mut Table<'a>) -> T,
    ) -> T {
        Table::read(report, document.get_ref(), 0..0, String::new(), read)
    }

    fn read<T>(
        report: &'a Report,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        path: String,
        read: impl FnOnce(&mut Table<'a>) -> T,
    ) -> T {
        let mut table = Table { report, entries, span, path, asked: Vec::new(), lenient: false };
        let result = read(&mut table);
        table.report_unknown();
        result
    }

    /// The value of `key`, if it is there and keeps its type's rule.
    pub(crate) fn optional<T: Value>(&mut self, key: &'static str) -> Option<T> {
        let value = self.get(key)?;
        let read = T::read(value.get_ref());
        if read.is_none() {
            self.fault(key, &T::show(value.get_ref()), T::RULE);
        }
        read
    }

    /// Like [`Table::optional`], and a fault when it is absent.
    pub(crate) fn required<T: Value>(&mut self, key: &'static str) -> Option<T> {
        if self.get(key).is_none() {
            self.missing(key, T::RULE);
            return None;
        }
        self.optional(key)
    }

    /// The value, or `default` when it is absent, or `None` when it has a fault.
    pub(crate) fn defaulted<T: Value>(&mut self, key: &'static str, default: T) -> Option<T> {
        if self.has(key) { self.optional(key) } else { Some(default) }
    }

    /// Like [`Table::defaulted`] for a value that no rule compares with another: after a fault,
    /// which refuses the file anyway, reading goes on with the default.
    pub(crate) fn or<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The table `key`, or `None` when it is absent.
    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'a>) -> T,
    ) -> Option<T> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => {
                Some(Table::read(self.report, entries, value.span(), self.path_of(key), read))
            }
            other => {
                self.fault(key, &show(other), "must be a table");
                None
            }
        }
    }

    /// Like [`Table::table`], and a fault when it is absent.
    pub(crate) fn required_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'a>) -> T,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, "must be a table");
        }
        self.table(key, read)
    }

    /// The elements of the array of tables `key`: empty when it is absent, `None` when one of
    /// them could not be read.
    pub(crate) fn each<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Table<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(value) = self.get(key) else { return Some(Vec::new()) };
        let rule = format!("must be a list of tables: write each as [[{key}]] with its full path");
        let elements = match value.get_ref() {
            DeValue::Array(elements) if elements.len() <= MAX_ELEMENTS => elements,
            DeValue::Array(elements) => {
                let rule = format!("must have at most {MAX_ELEMENTS} entries");
                self.fault(key, &format!("a list of {}", elements.len()), &rule);
                return None;
            }
            other => {
                self.fault(key, &show(other), &rule);
                return None;
            }
        };
        let mut all = Some(Vec::with_capacity(elements.len()));
        for (index, element) in elements.iter().enumerate() {
            let read_one = match element.get_ref() {
                DeValue::Table(entries) => {
                    let path = self.path_of(&format!("{key}[{}]", label(entries, index)));
                    Table::read(self.report, entries, element.span(), path, &mut read)
                }
                other => {
                    self.fault_at(element.span(), &format!("{key}[#{}]", index + 1), &show(other), &rule);
                    None
                }
            };
            all = all.zip(read_one).map(|(mut all, one)| {
                all.push(one);
                all
            });
        }
        all
    }

    /// A table with a value per appliance: `None` when it is absent or has a fault.
    pub(crate) fn per_appliance<T: Value>(
        &mut self,
        key: &'static str,
    ) -> Option<BTreeMap<ApplianceName, T>> {
        let named = |name: &str| ApplianceName::new(name).ok();
        self.per(key, named, ["one entry per appliance", "an appliance's name"])
    }

    /// A table with a value per coordinator: `None` when it is absent or has a fault.
    pub(crate) fn per_node<T: Value>(&mut self, key: &'static str) -> Option<BTreeMap<NodeId, T>> {
        let numbered = |name: &str| name.parse().ok().filter(|id| *id >= 1).map(NodeId);
        self.per(key, numbered, ["one entry per coordinator", "a coordinator's number"])
    }

    /// `words`: what the table must have, and what each of its keys must be.
    fn per<K: Ord, T: Value>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Option<K>,
        words: [&str; 2],
    ) -> Option<BTreeMap<K, T>> {
        let value = self.get(key)?;
        let [entries_of, name_of] = words;
        let DeValue::Table(entries) = value.get_ref() else {
            self.fault(key, &show(value.get_ref()), &format!("must be a table with {entries_of}"));
            return None;
        };
        let mut all = Some(BTreeMap::new());
        for (name, value) in entries {
            let path = format!("{key}.{}", name.get_ref());
            let named = parse(name.get_ref().as_ref());
            let read = T::read(value.get_ref());
            if named.is_none() {
                let shown = format!("{:?}", name.get_ref());
                self.fault_at(name.span(), &path, &shown, &format!("must be {name_of}"));
            }
            if read.is_none() {
                self.fault_at(value.span(), &path, &T::show(value.get_ref()), T::RULE);
            }
            all = all.zip(named.zip(read)).map(|(mut all, (name, value))| {
                all.insert(name, value);
                all
            });
        }
        all
    }

    /// Whether `key` is there. Marks it as known.
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Accepts every key: what is known here depends on a value that has a fault.
    pub(crate) fn allow_all(&mut self) {
        self.lenient = true;
    }

    /// Records that the value of `key`, shown as `value`, breaks `rule` ("must …").
    pub(crate) fn fault(&self, key: &str, value: &str, rule: &str) {
        self.fault_at(self.span_of(key), key, value, rule);
    }

    /// Records that `key` is not there but ought to be.
    pub(crate) fn missing(&self, key: &str, rule: &str) {
        let message = format!("{} is missing; it {rule}", self.path_of(key));
        self.report.add(Some(self.span.start), message);
    }

    /// Records a fault in words of its own, at `key`.
    pub(crate) fn complain(&self, key: &str, message: &str) {
        self.report.add(Some(self.span_of(key).start), format!("{} {message}", self.path_of(key)));
    }

    /// Where the value of `key` stands, or the nearest table around it. `key` may be `cluster.node`.
    fn span_of(&self, key: &str) -> Range<usize> {
        let (mut entries, mut span) = (self.entries, self.span.clone());
        for part in key.split('.') {
            let Some(value) = entries.get(part) else { break };
            span = value.span();
            let DeValue::Table(inner) = value.get_ref() else { break };
            entries = inner;
        }
        span
    }

    /// Where the table stands, in bytes: no two tables of a file stand at the same place.
    pub(crate) fn offset(&self) -> usize {
        self.span.start
    }

    /// The entries as parsed, for [`locate`](crate::groups::locate).
    pub(crate) fn entries(&self) -> &'a DeTable<'a> {
        self.entries
    }

    fn fault_at(&self, span: Range<usize>, key: &str, value: &str, rule: &str) {
        let message = format!("{} is {value}; it {rule}", self.path_of(key));
        self.report.add(Some(span.start), message);
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn report_unknown(&self) {
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if self.lenient || self.asked.contains(&name) {
                continue;
            }
            let advice = match nearest(name, &self.asked) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            let message = format!("{} is not a known key; {advice}", self.path_of(name));
            self.report.add(Some(key.span().start), message);
        }
    }
}

/// What an operator calls an element: its name or id, or else its place, from 1.
pub(crate) fn label(entries: &DeTable<'_>, index: usize) -> String {
    let text = |key: &str| match entries.get(key).map(Spanned::get_ref) {
        Some(DeValue::String(text)) if !text.is_empty() && text.len() <= 64 => Some(text.to_string()),
        Some(DeValue::Integer(number)) => Some(number.as_str().to_owned()),
        _ => None,
    };
    text("name").or_else(|| text("id")).unwrap_or_else(|| format!("#{}", index + 1))
}

/// The known key that `typed` most likely stands for: at most a third of its letters differ.
fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |k: &str| strsim::damerau_levenshtein(typed, k);
    let best = known.iter().copied().min_by_key(|k| distance(k))?;
    (distance(best) * 3 <= best.len().max(3)).then_some(best)
}
