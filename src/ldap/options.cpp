// SPDX-License-Identifier: Apache-2.0
#include "ldap/options.hpp"

#include <tuple>

namespace uidnfs::ldap {
namespace {

/// Every member but the password. A member that is added does not compile here until it is named.
template <class AnyOptions>  // const or not
auto all(AnyOptions& options) {
    auto& [urls, start_tls, ca_file, ca_pem, allow_plaintext, bind_dn, bind_password, user_base, user_filter, group_base, group_filter, attributes, verify_password, default_gid, gid_from_uid, prefer_groups, allow_root_identity, timeout, cache, negative_cache, cache_stale, recheck, recheck_action, recheck_max_percent, cache_file, threads] =
        options;
    static_cast<void>(bind_password);
    return std::tie(
        urls,
        start_tls,
        ca_file,
        ca_pem,
        allow_plaintext,
        bind_dn,
        user_base,
        user_filter,
        group_base,
        group_filter,
        attributes,
        verify_password,
        default_gid,
        gid_from_uid,
        prefer_groups,
        allow_root_identity,
        timeout,
        cache,
        negative_cache,
        cache_stale,
        recheck,
        recheck_action,
        recheck_max_percent,
        cache_file,
        threads
    );
}

}  // namespace

Options clone(const Options& options) {
    Options copy;
    all(copy) = all(options);
    copy.bind_password = options.bind_password.clone();
    return copy;
}

bool same(const Options& a, const Options& b) {
    return all(a) == all(b) && a.bind_password.same_as(b.bind_password);
}

}  // namespace uidnfs::ldap
