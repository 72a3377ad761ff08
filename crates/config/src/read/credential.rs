//! Passwords that the service manager hands over.

use std::io;
use std::path::Path;

use secrecy::SecretString;

use super::endpoint::{Side, password_from};

/// The password in `$CREDENTIALS_DIRECTORY/source_password` or `target_password` (systemd's `LoadCredential=`), if there is
/// such a file. It counts where no password is given in any other way.
///
/// # Errors
/// A file that is there and cannot be used; the text is the message.
pub(crate) fn credential(
    side: Side,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, String> {
    let Some(dir) = env("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()) else {
        return Ok(None);
    };
    let file = Path::new(&dir).join(side.credential());
    match file.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Whatever else is wrong shows when it is read.
        Ok(_) | Err(_) => password_from(&file).map(Some),
    }
}
