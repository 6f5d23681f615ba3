//! JSON of answers, read without building what is nested in it: an answer of a few kilobytes can hold so many small maps
//! that they fill megabytes of memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Any value, as its JSON text. It takes about as much memory as it had bytes in the answer.
pub(super) struct Json(pub(super) String);

impl Json {
    /// The value; `None` if it is a list or an object.
    pub(super) fn scalar(&self) -> Option<Value> {
        if self.0.starts_with(['[', '{']) { None } else { serde_json::from_str(&self.0).ok() }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Json, D::Error> {
        let mut text = String::new();
        Writer(&mut text).deserialize(value)?;
        Ok(Json(text))
    }
}

/// Appends a value to a text.
struct Writer<'a>(&'a mut String);

impl Writer<'_> {
    fn scalar(self, value: impl Into<Value>) {
        self.0.push_str(&value.into().to_string());
    }

    /// Ends a list or an object whose members each have a comma behind them.
    fn close(self, bracket: char) {
        if self.0.ends_with(',') {
            self.0.pop();
        }
        self.0.push(bracket);
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Value::Null);
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.scalar(flag);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.scalar(number);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.scalar(number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.scalar(number);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.scalar(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push('[');
        while items.next_element_seed(Writer(self.0))?.is_some() {
            self.0.push(',');
        }
        self.close(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.0.push('{');
        while let Some(name) = members.next_key::<String>()? {
            Writer(self.0).scalar(name);
            self.0.push(':');
            members.next_value_seed(Writer(self.0))?;
            self.0.push(',');
        }
        self.close('}');
        Ok(())
    }
}

/// Reads a list, and hands each item to `take` before the next one is read.
pub(super) fn each<'de, D, T, F>(list: D, take: F) -> Result<(), D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    F: FnMut(T),
{
    list.deserialize_seq(Each(take, PhantomData))
}

struct Each<F, T>(F, PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<F, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_it_was_read() {
        for text in [
            r#"{"a":[],"b":{},"c":[1,-2,2.5,1e300,null,true,"x,"],"d":{"e":{"f":"\"\\\n,"},"":[[],[{}]]}}"#,
            "null",
            "7",
            r#"",""#,
        ] {
            let Json(written) = serde_json::from_str(text).expect("a value");
            let values: [Value; 2] = [text, &written].map(|text| serde_json::from_str(text).expect("JSON"));
            assert_eq!(values[0], values[1], "{written}");
        }
    }

    #[test]
    fn what_has_members_is_no_scalar() {
        let scalar = |text| serde_json::from_str::<Json>(text).expect("a value").scalar();
        assert_eq!(scalar(r#""x""#), Some(Value::from("x")));
        assert_eq!(scalar(" null "), Some(Value::Null));
        assert_eq!((scalar("[1]"), scalar("{}")), (None, None));
    }
}
