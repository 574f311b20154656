// SPDX-License-Identifier: Apache-2.0
// What a resolve costs, against a slapd of its own: ldap_bench [ROUNDS]. Cold: round trips beside
// those the protocol needs, and time. Cached: time beyond the hash. The hash.
#include "core/log.hpp"
#include "ldap/cache.hpp"
#include "ldap/directory.hpp"
#include "ldap/hash.hpp"
#include "ldap/people.hpp"
#include "ldap/slapd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

namespace uidnfs {
namespace {

using std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

template <class Work>
double microseconds(const Work& work) {
    const auto begin = steady_clock::now();
    work();
    return Microseconds(steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
    std::ranges::nth_element(values, values.begin() + static_cast<long>(values.size() / 2));
    return values[values.size() / 2];
}

ldap::Options options_for(const test::Slapd& slapd) {
    ldap::Options options;
    options.urls = {slapd.url()};
    options.bind_dn = test::kServiceDn;
    options.bind_password = core::Secret(test::kServicePassword);
    options.user_base = "ou=people,dc=example,dc=com";
    options.group_base = "ou=groups,dc=example,dc=com";
    return options;
}

void must(const ldap::Answer<ldap::Identity>& answer, ldap::Origin origin) {
    if (answer && answer->origin == origin) return;
    fmt::print(
        stderr,
        "not what was to be measured: {}\n",
        answer ? to_string(answer->origin) : answer.error().operator_text
    );
    std::exit(1);
}

std::uint64_t trips(const ldap::Directory::Counters& counters) {
    return counters.binds + counters.searches;
}

void wait_for(const ldap::Directory& directory, std::uint64_t binds) {
    while (directory.counters().binds < binds) std::this_thread::yield();
}

void measure_cold(const test::Slapd& slapd, int rounds) {
    std::vector<double> fresh;
    std::vector<double> warm;
    std::uint64_t first = 0;
    std::uint64_t later = 0;
    for (int i = 0; i < rounds; ++i) {
        auto options = options_for(slapd);
        options.cache = options.cache_stale = ldap::Duration(0);
        options.threads = 1;
        ldap::Directory directory(std::move(options));
        fresh.push_back(microseconds([&] {
            must(
                directory.resolve("alice", core::Secret("password-of-alice")),
                ldap::Origin::directory
            );
        }));
        // The connection becomes the service's again after the answer; that is not part of it.
        wait_for(directory, 3);
        first = trips(directory.counters()) - 1;
        const auto before = trips(directory.counters());
        warm.push_back(microseconds([&] {
            must(
                directory.resolve("alice", core::Secret("password-of-alice")),
                ldap::Origin::directory
            );
        }));
        wait_for(directory, 5);
        later = trips(directory.counters()) - before - 1;
    }
    // The protocol needs: the service's bind (new connections only), the user's entry, its groups,
    // the user's bind.
    fmt::print(
        "cold resolve, new connection:   {} LDAP round trips (4 needed), {:.0f} us\n",
        first,
        median(fresh)
    );
    fmt::print(
        "cold resolve, pooled connection: {} LDAP round trips (3 needed; the re-bind comes after "
        "the answer), {:.0f} us\n",
        later,
        median(warm)
    );
}

void measure_cached(const test::Slapd& slapd, int rounds) {
    ldap::Directory directory(options_for(slapd));
    must(directory.resolve("alice", core::Secret("password-of-alice")), ldap::Origin::directory);
    while (directory.counters().hashes < 1) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::vector<double> hashes;
    std::vector<double> beyond;
    for (int i = 0; i < rounds; ++i) {
        const auto before = directory.counters().hash_us;
        const auto all = microseconds([&] {
            must(
                directory.resolve("alice", core::Secret("password-of-alice")), ldap::Origin::cache
            );
        });
        const auto hash = static_cast<double>(directory.counters().hash_us - before);
        hashes.push_back(hash);
        beyond.push_back(all - hash);
    }
    auto options = options_for(slapd);
    options.verify_password = false;
    ldap::Directory believing(std::move(options));
    must(believing.resolve("alice", core::Secret()), ldap::Origin::directory);
    std::vector<double> without;
    for (int i = 0; i < rounds; ++i) {
        without.push_back(microseconds([&] {
            must(believing.resolve("alice", core::Secret()), ldap::Origin::cache);
        }));
    }
    fmt::print(
        "hash (argon2id, 16 MiB, {} passes): {:.0f} us median, {:.0f} us at best\n",
        ldap::kHashPasses,
        median(hashes),
        *std::ranges::min_element(hashes)
    );
    fmt::print(
        "cached resolve: {:.0f} us beyond the hash, {:.0f} us at best\n",
        median(beyond),
        *std::ranges::min_element(beyond)
    );
    fmt::print("cached resolve without password: {:.1f} us\n", median(without));
}

}  // namespace
}  // namespace uidnfs

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::max(1, std::atoi(arguments[1])) : 50;
    uidnfs::core::log::set_level(uidnfs::core::log::Level::off);
    const uidnfs::test::Slapd slapd({uidnfs::test::people(), {}, {}});
    uidnfs::measure_cold(slapd, rounds);
    uidnfs::measure_cached(slapd, rounds);
    return 0;
}
