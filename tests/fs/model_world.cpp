// SPDX-License-Identifier: Apache-2.0
#include "fs/model_world.hpp"

#include <random>

namespace uidnfs::test {

using namespace std::chrono_literals;

Behaviour random_behaviour(std::uint64_t seed) {
    std::mt19937_64 random(seed * 77 + 1);
    const auto one_in = [&](std::uint64_t n) { return random() % n == 0; };
    const auto presence = [&] {
        if (one_in(8)) return Presence::never;
        return one_in(6) ? Presence::alternating : Presence::always;
    };
    Behaviour out;
    if (one_in(2)) out.write_max = out.write_preferred = 4096;
    if (one_in(2)) out.read_max = out.read_preferred = 8192;
    out.post_op_attrs = presence();
    out.pre_op_attrs = presence();
    out.created_handles = presence();
    out.entry_handles = presence();
    out.entry_attrs = presence();
    if (one_in(6)) out.readdirplus = Support::no;
    if (one_in(6)) out.exclusive_create = Support::no;
    if (one_in(3)) out.cookies = CookieStyle::high_bit;
    if (one_in(3)) out.cookies = CookieStyle::scattered;
    if (one_in(3)) out.cookie_verifiers = CookieVerifiers::changing;
    if (one_in(2)) out.file_ids = FileIds::reused;
    if (one_in(5)) out.least_stability = nfs::Stability::file_sync;
    if (one_in(5)) out.longest_write = 1000;
    if (one_in(5)) out.longest_read = 1000;
    if (one_in(3)) out.tick = 10ms;
    if (one_in(3)) out.removed = Removed::lingers;
    return out;
}

void choose_options(fs::Options& with, std::uint64_t seed) {
    std::mt19937_64 random(seed * 99 + 5);
    const auto one_in = [&](std::uint64_t n) { return random() % n == 0; };
    if (one_in(4)) with.commit_on = fs::CommitOn::behind;
    if (one_in(6)) with.write_mode = fs::WriteMode::sync;
    if (one_in(4)) with.write_behind = 64 << 10;
    if (one_in(4)) with.lookup_cache = fs::LookupCache::none;
    if (one_in(6)) with.readdirplus = fs::Readdirplus::off;
    if (one_in(6)) with.close_to_open = fs::CloseToOpen::off;
    if (one_in(6)) with.timers = {0ms, 0ms, 0ms, 0ms};
}

Fault random_fault(MemoryServer& server, const ModelNumbers& n) {
    constexpr std::array kTroubled{
        Procedure::getattr,
        Procedure::setattr,
        Procedure::lookup,
        Procedure::access,
        Procedure::read,
        Procedure::write,
        Procedure::create,
        Procedure::mkdir,
        Procedure::symlink,
        Procedure::remove,
        Procedure::rmdir,
        Procedure::rename,
        Procedure::link,
        Procedure::commit,
        Procedure::readdir,
        Procedure::readdirplus};
    Fault fault{.procedure = kTroubled[n[0] % kTroubled.size()]};
    switch (n[1] % 5) {
        case 0:
            fault.fail = Status::jukebox;
            fault.times = 1 + n[2] % 2;
            break;
        case 1: fault.reply = Fault::Reply::lost; break;
        case 2: fault.hold_reply = 1ms; break;
        case 3: fault.before = [&server] { server.crash(); }; break;
        default: fault.at_most = 1 + n[2] % 200;
    }
    return fault;
}

std::string random_bytes(const ModelNumbers& n) {
    const auto size = n[2] % 4 == 0 ? n[3] % 30'000 : n[3] % 400;
    std::string out(size, '\0');
    std::minstd_rand random(n[3] + 1);
    for (auto& byte : out) byte = static_cast<char>(random());
    return out;
}

}  // namespace uidnfs::test
