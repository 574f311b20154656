// SPDX-License-Identifier: Apache-2.0
#include "ldap/hash.hpp"

#include <sodium.h>

#include <stdexcept>

namespace uidnfs::ldap {

PasswordHasher::PasswordHasher() {
    if (sodium_init() < 0) throw std::runtime_error("libsodium cannot be used on this machine");
    randombytes_buf(key_.data(), key_.size());
}

std::optional<PasswordHash> PasswordHasher::hash(
    std::string_view user, const core::Secret& password
) const {
    std::array<unsigned char, crypto_pwhash_argon2id_SALTBYTES> salt;
    crypto_generichash(
        salt.data(),
        salt.size(),
        reinterpret_cast<const unsigned char*>(user.data()),
        user.size(),
        key_.data(),
        key_.size()
    );
    PasswordHash hash;
    const int code = crypto_pwhash_argon2id(
        hash.data(),
        hash.size(),
        password.reveal().data(),
        password.size(),
        salt.data(),
        kHashPasses,
        kHashMemory,
        crypto_pwhash_argon2id_ALG_ARGON2ID13
    );
    if (code != 0) return std::nullopt;
    return hash;
}

}  // namespace uidnfs::ldap
