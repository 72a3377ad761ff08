//! Configuration files in the making.

use serde_json::{Map, Value};

/// A configuration: dotted paths to values.
///
/// ```
/// # use scenarios::program::Settings;
/// let settings = Settings::new().set("source.addr", "127.0.0.1:6379").set("target.type", "redis-standalone");
/// assert_eq!(settings.get("source.addr"), Some(&"127.0.0.1:6379".into()));
/// assert_eq!(settings.unset("source").to_yaml(), "target:\n  type: redis-standalone\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// An empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// From a source at `source` to one or several `targets` of type `target_type`, the rest as by default.
    pub fn replicate(source: &str, target_type: &str, targets: &[String]) -> Self {
        let addr = match targets {
            [single] => Value::from(single.as_str()),
            several => Value::from(several.to_vec()),
        };
        Self::new()
            .set("source.type", "dragonfly")
            .set("source.addr", source)
            .set("target.type", target_type)
            .set("target.addr", addr)
    }

    /// Sets the value at a dotted path; maps on the way are made.
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let (map, last) = walk(&mut self.0, path);
        map.insert(last.to_owned(), value.into());
        self
    }

    /// Takes a path away.
    pub fn unset(mut self, path: &str) -> Self {
        let (map, last) = walk(&mut self.0, path);
        map.remove(last);
        self
    }

    /// The value at a dotted path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut words = path.split('.');
        let first = self.0.get(words.next()?)?;
        words.try_fold(first, |value, word| value.get(word))
    }

    /// The YAML text.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(&self.0).expect("plain maps and values are YAML")
    }
}

fn walk<'a, 'p>(root: &'a mut Map<String, Value>, path: &'p str) -> (&'a mut Map<String, Value>, &'p str) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let words = parents.split('.').filter(|word| !word.is_empty());
    let map = words.fold(root, |map, word| {
        let value = map.entry(word).or_insert_with(|| Value::Object(Map::new()));
        value.as_object_mut().unwrap_or_else(|| panic!("{word} in {path} is a value, not a map"))
    });
    (map, last)
}
