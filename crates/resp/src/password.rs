//! A password that may change while connections are made with it.

use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;

/// What connections to come log in with; nothing: they do not. Clones share it, so that a changed one reaches every copy of
/// the options. It is never printed.
#[derive(Clone, Debug, Default)]
pub struct Password(Arc<RwLock<Option<SecretString>>>);

impl Password {
    /// For connections that are opened from now on; those that are open stay logged in.
    pub fn change(&self, password: Option<SecretString>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = password;
    }

    pub(crate) fn current(&self) -> Option<SecretString> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<Option<SecretString>> for Password {
    fn from(password: Option<SecretString>) -> Password {
        Password(Arc::new(RwLock::new(password)))
    }
}

impl From<&str> for Password {
    fn from(password: &str) -> Password {
        Some(SecretString::from(password)).into()
    }
}
