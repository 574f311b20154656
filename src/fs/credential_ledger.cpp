// SPDX-License-Identifier: Apache-2.0
#include "fs/credential_ledger.hpp"

#include <algorithm>

namespace uidnfs::fs {
namespace {

std::string key_of(const mapper::Credential& credential) {
    const auto bytes = credential.encoded();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

CredentialRecord record_of(const mapper::Credential& credential) {
    CredentialRecord record{
        credential.uid().value(),
        credential.gid().value(),
        static_cast<std::uint32_t>(credential.groups().size()),
        0,
        {}};
    for (std::size_t i = 0; i < credential.groups().size(); ++i) {
        record.groups[i] = credential.groups()[i].value();
    }
    return record;
}

}  // namespace

CredentialLedger::CredentialLedger(
    CredentialRecords records, mapper::CredentialRef own, InUse in_use
)
    : records_(std::move(records)), own_(std::move(own)), in_use_(std::move(in_use)) {}

void CredentialLedger::restore(mapper::CredentialCache& cache) {
    by_number_.assign(records_.high_water(), nullptr);
    for (CredentialRecords::Index i = 0; i < records_.high_water(); ++i) {
        if (!records_.is_valid(i)) continue;
        const auto& found = records_[i];
        auto credential = cache.get(
            mapper::ClientUid(found.uid),
            mapper::ClientGid(found.gid),
            std::span(found.groups).first(found.group_count)
        );
        if (!credential) continue;
        numbers_.emplace(key_of(**credential), i + 1);
        by_number_[i] = std::move(*credential);
    }
}

std::optional<std::uint32_t> CredentialLedger::number_of(const mapper::CredentialRef& credential) {
    if (credential == own_) return kMountsOwn;
    if (credential == last_) return last_number_;
    const auto key = key_of(*credential);
    auto known = numbers_.find(key);
    if (known == numbers_.end()) {
        auto index = records_.insert(record_of(*credential));
        if (index == CredentialRecords::kNone) {
            sweep();
            index = records_.insert(record_of(*credential));
        }
        if (index == CredentialRecords::kNone) return std::nullopt;
        if (by_number_.size() <= index) by_number_.resize(index + 1);
        by_number_[index] = credential;
        known = numbers_.emplace(key, index + 1).first;
    }
    last_ = credential;
    last_number_ = known->second;
    return last_number_;
}

mapper::CredentialRef CredentialLedger::find(std::uint32_t number) const {
    if (number == kMountsOwn) return own_;
    return number <= by_number_.size() ? by_number_[number - 1] : nullptr;
}

void CredentialLedger::sweep() {
    last_.reset();
    const auto used = in_use_(by_number_.size());
    for (std::uint32_t i = 0; i < by_number_.size(); ++i) {
        if (!by_number_[i] || used[i]) continue;
        numbers_.erase(key_of(*by_number_[i]));
        by_number_[i].reset();
        records_.erase(i);
    }
}

}  // namespace uidnfs::fs
