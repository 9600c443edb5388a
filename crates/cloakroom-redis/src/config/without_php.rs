//! A program that was built without PHP's layouts says so where one is asked for, and does not open a store of another kind.

use cloakroom::config::{OpenError, built_without};

use super::NATIVE;
use super::keys::{self, LAYOUT};
use super::said::Said;

/// Refuses what asks for a PHP application's sessions, and whatever else is said of one.
pub(super) fn refuse(said: &Said<'_>) -> Result<(), OpenError> {
    // Switched off, with what belongs to it where it is.
    if said.text(LAYOUT)? == Some(NATIVE) {
        return Ok(());
    }
    let why = || built_without("the sessions of a PHP application", "cloakroom-redis", "php");
    keys::of_application().find(|key| said.is_there(key)).map_or(Ok(()), |key| Err(said.refuse(key, &why())))
}

#[cfg(test)]
mod tests {
    use cloakroom::config::{Configuration, Connection, Driver, Drivers, Environment, Opened};

    use super::super::variables::Variables;
    use super::super::{NAME, this_machine};
    use super::*;

    /// As the driver of such a program does. In one, the driver itself.
    async fn open(file: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let env = Environment::of(variables.iter().copied());
        let read =
            Configuration::parse("c.toml", file.as_bytes(), &env).map_err(|error| error.to_string())?;
        let of_env = env.clone();
        let driver = Driver::new(NAME, keys::ALL, move |connection: Connection| {
            let refused = refuse(&Said::of(&connection, &Variables(&of_env)));
            async move {
                refused?;
                let store: std::sync::Arc<dyn cloakroom::store::Store> =
                    std::sync::Arc::new(this_machine().build()?);
                Ok(Opened::from(store))
            }
        });
        let driver = if cfg!(feature = "php") { driver } else { super::super::driver(&env) };
        let opened = Drivers::none().with(driver).open(&read).await;
        opened.map(drop).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn without_the_feature_whoever_asks_for_phps_sessions_is_told_where_and_what_to_do() {
        const TABLE: &str = "[connections.redis]\n";
        let table = |line: &str| format!("{TABLE}{line}\n");
        let env = ("SESSION_DRIVER", "redis");
        for (file, variables, told) in [
            (
                table("php_ini = [\"/etc/php/8.2/fpm/php.ini\"]"),
                vec![],
                "c.toml:2:11: connections.redis.php_ini ",
            ),
            (table("layout = \"phpredis\""), vec![], "c.toml:2:10: connections.redis.layout "),
            (table(""), vec![("REDIS_LAYOUT", "symfony")], "environment variable REDIS_LAYOUT "),
            (String::new(), vec![env, ("REDIS_PHP_INI", "/x")], "environment variable REDIS_PHP_INI "),
            // A variable switches off what stands in a file, and nothing else does.
            (table("layout = \"phpredis\""), vec![("REDIS_LAYOUT", "null")], "connections.redis.layout "),
        ] {
            let error = open(&file, &variables).await.unwrap_err();
            assert!(error.contains(told) && error.contains("feature php"), "{error}");
            assert!(!error.contains("phpredis") && !error.contains("/x"), "{error}");
        }
        for key in keys::of_application() {
            let error = open(&table(&format!("{key} = \"x\"")), &[]).await.unwrap_err();
            assert!(
                error.contains(&format!("redis.{key} asks for")) && error.contains("feature php"),
                "{error}"
            );
            let variable = format!("REDIS_{}", key.to_ascii_uppercase());
            let error = open(&table(""), &[(&variable, "x")]).await.unwrap_err();
            assert!(error.contains(&format!("{variable} asks for")), "{error}");
        }
        for (file, variables) in [
            (table(""), vec![]),
            (table("layout = \"native\"\nphp_ini = [\"x\"]"), vec![]),
            (table("layout = \"phpredis\""), vec![("REDIS_LAYOUT", "native")]),
        ] {
            open(&file, &variables).await.unwrap();
        }
    }
}
