//! Enumerations with the names that Fabric gives their values.

/// Defines an enumeration for `prost` with `as_str_name` and `from_str_name`, as `prost-build` would.
macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
        #[repr(i32)]
        pub enum $name { $($variant = $number,)+ }

        impl $name {
            /// The value's name in Fabric's own definitions and messages.
            pub fn as_str_name(&self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of this name.
            pub fn from_str_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
