//! Resources are named by their ARM id, never by position or by tag.
//!
//! `/subscriptions/{id}/resourceGroups/{name}/providers/Microsoft.Network/{type}/{name}[/{child
//! type}/{child name}]`. ARM compares ids without regard to case and gives them back in whatever
//! case it likes, so they are compared that way here as well.

use std::cmp::Ordering;
use std::fmt;

use thiserror::Error;

/// Longest id. ARM's own parts add up to less.
const LONGEST: usize = 1024;

/// Why a text is no id of the kind that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Not of the general form.
    #[error(
        "{0:?} is no resource id; it must be of the form \
         /subscriptions/…/resourceGroups/…/providers/Microsoft.…/type/name"
    )]
    Malformed(String),
    /// An id of something else.
    #[error("{id} is no {wanted}; its type must be {wanted}")]
    Kind {
        /// As given.
        id: String,
        /// For instance `Microsoft.Network/networkInterfaces`.
        wanted: &'static str,
    },
}

/// The kinds of resource that this adapter knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Microsoft.Network/networkInterfaces`
    Nic,
    /// `Microsoft.Network/networkInterfaces/ipConfigurations`
    IpConfiguration,
    /// `Microsoft.Network/publicIPAddresses`
    PublicIp,
    /// `Microsoft.Network/routeTables`
    RouteTable,
    /// `Microsoft.Compute/virtualMachines`
    VirtualMachine,
    /// `Microsoft.Network/loadBalancers/backendAddressPools`
    BackendPool,
}

impl Kind {
    /// Provider and type, as ARM writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Nic => "Microsoft.Network/networkInterfaces",
            Kind::IpConfiguration => "Microsoft.Network/networkInterfaces/ipConfigurations",
            Kind::PublicIp => "Microsoft.Network/publicIPAddresses",
            Kind::RouteTable => "Microsoft.Network/routeTables",
            Kind::VirtualMachine => "Microsoft.Compute/virtualMachines",
            Kind::BackendPool => "Microsoft.Network/loadBalancers/backendAddressPools",
        }
    }
}

/// An ARM resource id of the form above. Compared without regard to case; shown as given.
#[derive(Debug, Clone)]
pub struct ResourceId {
    text: String,
    lower: String,
}

impl ResourceId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`IdError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let malformed = || IdError::Malformed(text.chars().take(200).collect());
        let parts: Vec<&str> = text
            .strip_prefix('/')
            .filter(|_| text.len() <= LONGEST)
            .ok_or_else(malformed)?
            .split('/')
            .collect();
        let word = |at: usize, word: &str| parts.get(at).is_some_and(|part| part.eq_ignore_ascii_case(word));
        // Nothing that a URL would have to escape, so that an id is always also a path.
        let plain = |part: &&str| {
            !part.is_empty()
                && *part != "."
                && *part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.()".contains(&b))
        };
        let shaped = parts.len() >= 8
            && parts.len().is_multiple_of(2)
            && word(0, "subscriptions")
            && word(2, "resourceGroups")
            && word(4, "providers")
            && parts.iter().all(plain);
        if !shaped {
            return Err(malformed());
        }
        Ok(ResourceId { text: text.to_owned(), lower: text.to_ascii_lowercase() })
    }

    /// Reads an id of one kind.
    ///
    /// # Errors
    /// [`IdError`].
    pub fn of_kind(text: &str, kind: Kind) -> Result<Self, IdError> {
        let id = ResourceId::parse(text)?;
        if id.is(kind) { Ok(id) } else { Err(IdError::Kind { id: id.text, wanted: kind.as_str() }) }
    }

    /// Whether it is of that kind.
    pub fn is(&self, kind: Kind) -> bool {
        let parts = self.parts();
        let found = parts.iter().skip(5).enumerate().filter(|(at, _)| at % 2 == 1 || *at == 0);
        let found: Vec<&str> = found.map(|(_, part)| *part).collect();
        found.join("/").eq_ignore_ascii_case(kind.as_str())
    }

    /// As given: the path of the resource at ARM.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same for all ids that ARM holds to be the same.
    pub fn key(&self) -> &str {
        &self.lower
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.parts().last().copied().unwrap_or_default()
    }

    /// The subscription.
    pub fn subscription(&self) -> &str {
        self.parts().get(1).copied().unwrap_or_default()
    }

    /// The resource that this one is a part of, such as the NIC of an IP configuration.
    pub fn parent(&self) -> Option<ResourceId> {
        let parts = self.parts();
        let parent = parts.get(..parts.len().checked_sub(2)?)?;
        ResourceId::parse(&format!("/{}", parent.join("/"))).ok()
    }

    /// Short, for people who know their own network: `rg-hub/networkInterfaces/nic-a`.
    pub fn short(&self) -> String {
        short_of_path(&self.text)
    }

    fn parts(&self) -> Vec<&str> {
        self.text.split('/').skip(1).collect()
    }
}

/// The short form of anything below a resource, for records of calls: what follows the provider,
/// after the resource group. A path of another form is given as its last two parts.
pub fn short_of_path(path: &str) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let provider = parts.iter().rposition(|part| part.eq_ignore_ascii_case("providers"));
    match (parts.get(3), provider) {
        (Some(group), Some(4)) => {
            let rest = parts.get(6..).unwrap_or_default().iter().map(|part| well_known(part));
            format!("{group}/{}", rest.collect::<Vec<_>>().join("/"))
        }
        _ => parts.get(parts.len().saturating_sub(2)..).unwrap_or_default().join("/"),
    }
}

/// The usual case of a type's name: ids are compared in lower case, and people read them.
fn well_known(part: &str) -> &str {
    [
        "networkInterfaces",
        "ipConfigurations",
        "publicIPAddresses",
        "routeTables",
        "virtualMachines",
        "loadBalancers",
        "backendAddressPools",
    ]
    .into_iter()
    .find(|known| known.eq_ignore_ascii_case(part))
    .unwrap_or(part)
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.lower == other.lower
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lower.cmp(&other.lower)
    }
}

/// What may be written: resource ids, and prefixes of them such as a resource group.
///
/// A write to anything else is refused before it is sent. Names that look alike are the
/// commonest way to hit somebody else's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    prefixes: Vec<String>,
}

impl AllowList {
    /// From ids, resource groups or subscriptions, each starting with `/subscriptions/`.
    ///
    /// # Errors
    /// [`IdError::Malformed`] names the first that is neither.
    pub fn new<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, IdError> {
        let mut prefixes = Vec::new();
        for entry in entries {
            let entry = entry.as_ref();
            let lower = entry.trim_end_matches('/').to_ascii_lowercase();
            let parts: Vec<&str> = lower.split('/').collect();
            let shaped = parts.len() >= 3
                && !parts.len().is_multiple_of(2)
                && parts.first() == Some(&"")
                && parts.get(1) == Some(&"subscriptions")
                && parts.get(3).is_none_or(|part| *part == "resourcegroups")
                && parts.iter().skip(1).all(|part| !part.is_empty());
            if !shaped {
                return Err(IdError::Malformed(entry.to_owned()));
            }
            prefixes.push(lower);
        }
        Ok(AllowList { prefixes })
    }

    /// Whether `id` is on the list, or below something that is.
    pub fn allows(&self, id: &ResourceId) -> bool {
        self.prefixes.iter().any(|prefix| {
            id.lower
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIC: &str =
        "/subscriptions/s1/resourceGroups/rg-hub/providers/Microsoft.Network/networkInterfaces/nic-a";

    #[test]
    fn ids_are_compared_without_case_and_shown_as_given() {
        let id = ResourceId::of_kind(NIC, Kind::Nic).unwrap();
        let shouted = ResourceId::of_kind(&NIC.to_uppercase(), Kind::Nic).unwrap();
        assert_eq!(id, shouted);
        assert_eq!(id.to_string(), NIC);
        assert_eq!(id.short(), "rg-hub/networkInterfaces/nic-a");
        let config =
            ResourceId::of_kind(&format!("{NIC}/ipConfigurations/v6"), Kind::IpConfiguration).unwrap();
        assert_eq!(config.parent().unwrap(), id);
        assert_eq!((config.name(), config.subscription()), ("v6", "s1"));
    }

    #[test]
    fn what_is_no_id_of_the_right_kind_is_refused() {
        let table = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/routeTables/rt";
        let error = ResourceId::of_kind(table, Kind::Nic).unwrap_err();
        assert!(
            error.to_string().ends_with("its type must be Microsoft.Network/networkInterfaces"),
            "{error}"
        );
        let tricks = [
            "",
            "nic-a",
            "/subscriptions/s",
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/x/../y/z",
            "/subscriptions/s/resourceGroups//providers/Microsoft.Network/networkInterfaces/a",
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/networkInterfaces/a?b",
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/networkInterfaces/a%2Fb",
        ];
        for trick in tricks {
            assert!(ResourceId::parse(trick).is_err(), "{trick}");
        }
    }

    #[test]
    fn the_allow_list_ends_at_the_borders_of_names() {
        let list = AllowList::new(["/subscriptions/s1/resourceGroups/rg-hub/"]).unwrap();
        assert!(list.allows(&ResourceId::parse(&NIC.to_uppercase()).unwrap()));
        assert!(!list.allows(&ResourceId::parse(&NIC.replace("rg-hub", "rg-hub2")).unwrap()));
        assert!(!list.allows(&ResourceId::parse(&NIC.replace("s1", "s2")).unwrap()));
        assert!(AllowList::new([NIC]).unwrap().allows(&ResourceId::parse(NIC).unwrap()));
        assert!(AllowList::new(["/subscriptions/s1"]).unwrap().allows(&ResourceId::parse(NIC).unwrap()));
        for wrong in ["", "/", "/subscriptions", "/subscriptions/", "rg-hub", "/subscriptions/s/rg/x"] {
            assert!(AllowList::new([wrong]).is_err(), "{wrong}");
        }
        assert!(!AllowList::default().allows(&ResourceId::parse(NIC).unwrap()));
    }
}
