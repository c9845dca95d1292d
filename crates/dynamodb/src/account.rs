//! Whose credentials are: those that take the place of others in the middle of a run must be of the same account, or the run
//! would go on in a table of the same name in another one.

use aws_credential_types::Credentials;
use aws_credential_types::attributes::AccountId;
use aws_smithy_runtime_api::client::identity::Identity;

/// The account of credentials, as far as they tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    /// As the provider says it; those of plain files seldom do.
    told: Option<AccountId>,
    /// As the id of the access key holds it.
    of_key: Option<u64>,
}

impl Account {
    pub(crate) fn of(identity: &Identity) -> Account {
        let credentials = identity.data::<Credentials>();
        Account {
            told: identity.property::<AccountId>().cloned(),
            of_key: credentials.and_then(|keys| account_of_key(keys.access_key_id())),
        }
    }

    /// As the provider says it.
    pub(crate) fn told(&self) -> Option<&AccountId> {
        self.told.as_ref()
    }

    /// This, with what `former` told and this does not.
    pub(crate) fn or(self, former: &Account) -> Account {
        Account {
            told: self.told.or_else(|| former.told.clone()),
            of_key: self.of_key.or(former.of_key),
        }
    }

    /// True if both tell their account in the same way, and differ.
    pub(crate) fn is_another(&self, other: &Account) -> bool {
        match (&self.told, &other.told) {
            (Some(this), Some(other)) => this.as_str() != other.as_str(),
            _ => matches!((self.of_key, other.of_key), (Some(this), Some(other)) if this != other),
        }
    }

    /// For a person; `None` if nothing tells it.
    pub(crate) fn words(&self) -> Option<String> {
        match (&self.told, self.of_key) {
            (Some(told), _) => Some(told.as_str().to_owned()),
            (None, Some(account)) => Some(format!("{account:012}")),
            (None, None) => None,
        }
    }
}

/// The account that is part of the id of an access key: behind `AKIA` or `ASIA` follow 80 bits in base 32, of which the first is
/// set and the next 40 are the account. Ids of the older form, whose first bit is not set, have none.
fn account_of_key(id: &str) -> Option<u64> {
    let digits = id.strip_prefix("AKIA").or(id.strip_prefix("ASIA"))?;
    if digits.len() != 16 {
        return None;
    }
    let bits = digits.chars().try_fold(0_u128, |bits, digit| {
        let value = match digit {
            'A'..='Z' => u32::from(digit) - u32::from('A'),
            '2'..='7' => u32::from(digit) - u32::from('2') + 26,
            _ => return None,
        };
        Some((bits << 5) | u128::from(value))
    })?;
    let is_new = bits >> 79 == 1;
    is_new.then_some(((bits >> 39) & 0xFF_FFFF_FFFF) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_tells_its_account_if_its_id_is_of_the_newer_form() {
        for (id, account) in [
            ("ASIAQNZGKIQY56JQ7WML", Some(29_608_264_753)),
            ("ASIAY34FZKBOKMUTVV7A", Some(609_629_065_308)),
            ("AKIAIOSFODNN7EXAMPLE", None),
            ("AKIAQNZGKIQY56JQ7WM", None),
            ("AKIAQNZGKIQY56JQ7WM1", None),
            ("local", None),
            ("", None),
        ] {
            assert_eq!(account_of_key(id), account, "{id}");
        }
    }
}
