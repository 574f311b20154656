// SPDX-License-Identifier: Apache-2.0
// CredentialLedger: identities as the arena's records name them, so that the next worker writes in
// the same name (identity=caller; else there is only the mount's own). Reactor's thread only.
#pragma once

#include "fs/records.hpp"
#include "mapper/credential_cache.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace uidnfs::fs {

class CredentialLedger {
public:
    /// By number, whether some record speaks of it.
    using InUse = std::function<std::vector<bool>(std::size_t numbers)>;

    CredentialLedger(CredentialRecords records, mapper::CredentialRef own, InUse in_use);

    /// Takes over what the records hold; `cache` makes the credentials. Those that it refuses
    /// (root, where that is not allowed) have no number, see find().
    void restore(mapper::CredentialCache& cache);

    /// Nothing when as many identities as there are records are in use. The number holds as long as
    /// a record speaks of it: no suspension between this and making that record.
    std::optional<std::uint32_t> number_of(const mapper::CredentialRef& credential);
    /// nullptr for a number that names nobody.
    mapper::CredentialRef find(std::uint32_t number) const;

private:
    void sweep();

    CredentialRecords records_;
    mapper::CredentialRef own_;
    InUse in_use_;
    std::vector<mapper::CredentialRef> by_number_;            ///< [number - 1]; empty: free
    std::unordered_map<std::string, std::uint32_t> numbers_;  ///< by encoded credential
    mapper::CredentialRef last_;  ///< most calls come from who came before
    std::uint32_t last_number_ = kMountsOwn;
};

}  // namespace uidnfs::fs
