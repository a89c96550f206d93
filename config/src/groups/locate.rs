//! From the path of a fault in a [`GroupSpec`](coordinator_core::model::GroupSpec) to its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::decode::{Report, Table, label};

/// Records a fault of the group at `index` in the file. `path` is that of the spec, for instance
/// `appliances[0].probes[1].timeout`; it is shown as the file's, for instance
/// `group[dmz].appliance[fw-a].probe[ssh].timeout`, and the line is that of the nearest thing
/// that the file says about it.
pub(crate) fn fault(report: &Report, file: &Table<'_>, index: usize, path: &str, value: &str, rule: &str) {
    fault_in("group", report, file, index, path, value, rule);
}

/// The same of an element of any list of the file: `group` or `pool`.
pub(crate) fn fault_in(
    list: &str,
    report: &Report,
    file: &Table<'_>,
    index: usize,
    path: &str,
    value: &str,
    rule: &str,
) {
    let mut place = Place { shown: String::new(), at: 0, entries: Some(file.entries()) };
    place.step(list, Some(index));
    for segment in path.split('.') {
        let (name, index) = match segment.strip_suffix(']').and_then(|s| s.split_once('[')) {
            Some((name, index)) => (name, index.parse().ok()),
            None => (segment, None),
        };
        place.step(in_file(name), index);
    }
    report.add(Some(place.at), format!("{} is {value}; it {rule}", place.shown));
}

/// What the file calls a field of the spec.
fn in_file(name: &str) -> &str {
    match name {
        "appliances" => "appliance",
        "probes" => "probe",
        "members" => "member",
        "path_probes" => "path_probe",
        "bindings" => "binding",
        // A VIP's prefix is written with its address.
        "prefix_len" => "address",
        other => other,
    }
}

/// How far the path was followed.
struct Place<'a> {
    shown: String,
    at: usize,
    /// `None` once the file says nothing more about it, because a default applies.
    entries: Option<&'a DeTable<'a>>,
}

impl<'a> Place<'a> {
    fn step(&mut self, name: &str, index: Option<usize>) {
        // One interface for all appliances is written in the singular.
        let singular = name == "interfaces" && self.entries.is_some_and(|e| !e.contains_key(name));
        let name = if singular { "interface" } else { name };
        let found = self.entries.and_then(|entries| entries.get(name));
        let element = match (found.map(Spanned::get_ref), index) {
            (Some(DeValue::Array(elements)), Some(index)) => elements.get(index),
            _ => found,
        };
        if !self.shown.is_empty() {
            self.shown.push('.');
        }
        self.shown.push_str(name);
        self.entries = None;
        if let Some(element) = element {
            self.at = element.span().start;
            if let DeValue::Table(entries) = element.get_ref() {
                if let Some(index) = index {
                    self.shown.push_str(&format!("[{}]", label(entries, index)));
                }
                self.entries = Some(entries);
            }
        }
    }
}
