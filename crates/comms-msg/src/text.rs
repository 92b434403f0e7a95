//! What every value with one canonical text shares: `FromStr`, `Display` and serde as that text.
//! Not a place for values; each has its own file.

/// Implements the text side of a type that has `fn parse_text(&str) -> Result<Self>` and `Display`.
macro_rules! text_form {
    ($name:ty, $expecting:literal) => {
        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                <$name>::parse_text(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::Error;

            fn try_from(text: &str) -> $crate::Result<Self> {
                <$name>::parse_text(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        <$name>::parse_text(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

/// A text with a rule that can be asked of a text that is not kept.
pub(crate) trait Ruled: Sized {
    /// Whether the text keeps the rule.
    fn check(text: &str) -> crate::Result<()>;

    /// Keeps a text that [`Ruled::check`] has let pass.
    fn ruled(text: &str) -> Self;
}

/// Adds to [`text_form`] what a type that *is* a shared text can give: `as_str`, `Display`, `Debug`.
macro_rules! text_type {
    ($name:ident, $expecting:literal) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl $name {
            fn parse_text(text: &str) -> $crate::Result<Self> {
                <$name>::new(text)
            }
        }

        impl $crate::text::Ruled for $name {
            fn check(text: &str) -> $crate::Result<()> {
                <$name>::fits(text)
            }

            fn ruled(text: &str) -> Self {
                debug_assert!(<$name>::fits(text).is_ok());
                $name(text.into())
            }
        }

        $crate::text::text_form!($name, $expecting);
    };
}

pub(crate) use {text_form, text_type};
