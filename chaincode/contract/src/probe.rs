//! Whether the contract answers, and endorsers agree.

use crate::{
    WorldState,
    call::{Answer, Call, refuse},
    router::{Domain, function},
};
use records::{Code, key};

/// A function that writes a value under the caller's name, and nothing else.
pub(crate) const PROBE: Domain =
    Domain { name: "probe", functions: &[function("write", "probe", |call, world| call.probe(world))] };

impl Call<'_> {
    fn probe(&self, world: &mut dyn WorldState) -> Answer {
        let (name, value) = (self.text(0, "name")?, self.bytes(1, "value")?);
        if name.is_empty() || name.len() > 128 || name.contains(['\0', char::MAX]) {
            return refuse(Code::BadInput, "name: empty, longer than 128 bytes, or with U+0000 or U+10FFFF");
        }
        world.put(&key::probe(&self.caller.msp_id, name), value.to_vec())?;
        Ok(Vec::new())
    }
}
