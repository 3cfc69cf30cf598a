//! Writes what the decoders accept to `corpus`, for libFuzzer to start from.

fn main() -> std::io::Result<()> {
    for target in &paillier_fuzz::TARGETS {
        let directory = std::path::Path::new("corpus").join(target.name);
        std::fs::create_dir_all(&directory)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(directory.join(number.to_string()), seed)?;
        }
    }
    Ok(())
}
