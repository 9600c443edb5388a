//! The driver `file`: a store from `cloakroom.toml` and the environment.

use std::sync::Arc;

#[cfg(any(not(feature = "php"), test))]
use cloakroom::config::built_without;
use cloakroom::config::{Connection, Driver, OpenError, Opened};
use cloakroom::store::Store;

use crate::{Durability, FileStore};

#[cfg(feature = "php")]
mod php;

const PATH: &str = "path";
const DURABILITY: &str = "durability";
const LAYOUT: &str = "layout";
const INI: &str = "php_ini";
const USER: &str = "user_variable";
const MOVING: &str = "moving";
const MOVING_TO: &str = "moving_to";
/// The layout that is none of PHP's.
const NATIVE: &str = "native";
/// What is said of a PHP application, what names it first.
#[cfg(any(not(feature = "php"), test))]
const OF_PHP: [&str; 5] = [LAYOUT, INI, USER, MOVING, MOVING_TO];

/// The driver `file` (`files` is the same), for [`Drivers`](cloakroom::config::Drivers).
///
/// | in a connection's table | |
/// |---|---|
/// | `path` | the directory; must be told |
/// | `durability` | `full` (the default) or `process-crash`: see [`Durability`] |
/// | `layout` | the sessions of a PHP application (feature `php`): `"php-files"`, where PHP has them in `path`, or `"mini"`, whose cache in files that is; `"native"` |
/// | `php_ini` | a list of files and folders, in place of `path`: PHP's own files as PHP is set to have them |
/// | `user_variable` | the name in `$_SESSION` of who is logged in |
/// | `moving`, `moving_to` | `"prepare"`, `"move"`, `"done"`: from PHP's files to this store's own in the directory `moving_to`, as in [`MovingStore`](crate::php::MovingStore) |
///
/// With a layout of PHP's the sessions have a configuration of their own:
/// [`Drivers::open_with_config`](cloakroom::config::Drivers::open_with_config).
///
/// ```
/// use cloakroom::config::{Configuration, Drivers, Environment};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("sessions").display().to_string();
/// let env = Environment::of([("SESSION_DRIVER", "file")]);
/// let text = format!("[connections.file]\npath = \"{path}\"\n");
/// let read = Configuration::parse("cloakroom.toml", text.as_bytes(), &env).unwrap();
/// let store = Drivers::none().with(cloakroom_file::driver()).open(&read).await.unwrap();
/// assert_eq!(store.name(), "file");
/// # }
/// ```
pub fn driver() -> Driver {
    let keys = &[PATH, DURABILITY, LAYOUT, INI, USER, MOVING, MOVING_TO];
    Driver::new("file", keys, |connection: Connection| async move { open(&connection).await })
        .aliases(&["files"])
}

async fn open(connection: &Connection) -> Result<Opened, OpenError> {
    #[cfg(feature = "php")]
    if let Some(application) = php::application(connection)? {
        return php::open(connection, application).await;
    }
    #[cfg(not(feature = "php"))]
    refuse_php(connection)?;
    let store = FileStore::builder(path(connection)?).durability(durability(connection)?).open().await?;
    Ok((Arc::new(store) as Arc<dyn Store>).into())
}

fn path(connection: &Connection) -> Result<&str, OpenError> {
    let path = connection.text(PATH)?;
    path.ok_or_else(|| connection.refuse(PATH, "is missing: name the directory of the sessions").into())
}

fn durability(connection: &Connection) -> Result<Durability, OpenError> {
    match connection.text(DURABILITY)? {
        None | Some("full") => Ok(Durability::Full),
        Some("process-crash") => Ok(Durability::ProcessCrash),
        Some(_) => Err(connection.refuse(DURABILITY, "can be full or process-crash").into()),
    }
}

/// Where this program was built without PHP's layouts: refuses the settings that ask for one.
#[cfg(any(not(feature = "php"), test))]
fn refuse_php(connection: &Connection) -> Result<(), OpenError> {
    // Switched off, with what belongs to it where it is.
    if connection.text(LAYOUT)? == Some(NATIVE) {
        return Ok(());
    }
    let why = || built_without("the sessions of a PHP application", "cloakroom-file", "php");
    let asks = OF_PHP.into_iter().find(|key| connection.has(key));
    asks.map_or(Ok(()), |key| Err(connection.refuse(key, &why()).into()))
}

#[cfg(test)]
mod tests {
    use cloakroom::config::{Configuration, Drivers, Environment};

    use super::*;

    #[tokio::test]
    async fn without_the_feature_whoever_asks_for_phps_files_is_told_where_and_what_to_do() {
        let open = async |line: &str| {
            let env = Environment::of([("SESSION_DRIVER", "file")]);
            let read =
                Configuration::parse("c.toml", format!("[connections.file]\n{line}\n").as_bytes(), &env);
            let driver = Driver::new("file", &OF_PHP, |connection: Connection| async move {
                refuse_php(&connection)?;
                Err::<Opened, OpenError>("it is let through".into())
            });
            let opened = Drivers::none().with(driver).open(&read.unwrap()).await;
            opened.map(drop).map_err(|error| error.to_string())
        };
        for (line, told) in [
            ("layout = \"mini\"", "c.toml:2:10: connections.file.layout asks for"),
            ("php_ini = [\"x\"]", "c.toml:2:11: connections.file.php_ini asks for"),
            ("user_variable = \"u\"", "c.toml:2:17: connections.file.user_variable asks for"),
            ("moving = \"move\"", "c.toml:2:10: connections.file.moving asks for"),
            ("moving_to = \"x\"", "c.toml:2:13: connections.file.moving_to asks for"),
        ] {
            let error = open(line).await.unwrap_err();
            assert!(error.contains(told) && error.contains("feature php"), "{error}");
        }
        for line in ["layout = \"native\"\nuser_variable = \"u\"", ""] {
            assert!(open(line).await.unwrap_err().contains("let through"), "{line}");
        }
    }
}
