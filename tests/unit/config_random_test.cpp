// SPDX-License-Identifier: Apache-2.0
// Random option strings and sources: never a crash, always a request that keeps its promises or one
// printable line that says why not. The seed is fixed; UIDNFS_SEED chooses another.
#include "config/option_table.hpp"
#include "config_fixture.hpp"

#include <cstdlib>
#include <random>

namespace uidnfs::config {
namespace {

constexpr int kRounds = 6000;

class Generator {
public:
    explicit Generator(unsigned seed) : engine_(seed) {}

    std::string option_string() {
        // Half of them with an identity, so that many pass and the promises below are tested.
        std::string text = below(2) ? "uid=1001,gid=1001" : "";
        for (auto left = below(6); left > 0; --left) {
            text += "," + name();
            if (below(3)) text += "=" + value();
        }
        return text;
    }

    std::string source() {
        switch (below(6)) {
            case 0: return "nas1:/" + junk(20);
            case 1: return "nfs://nas1/" + junk(20) + "?" + name() + "=" + value();
            case 2: return "nfs://" + junk(12);
            case 3: return "[" + junk(6) + "]:/" + junk(6);
            case 4: return junk(30);
            default: return "nas1:/exports/a";
        }
    }

private:
    std::size_t below(std::size_t limit) { return engine_() % limit; }

    std::string junk(std::size_t longest) {
        constexpr std::string_view kLikely = "0123456789abcxyz:=,/.[]\"%?&#@-_ ";
        std::string text;
        for (auto left = below(longest + 1); left > 0; --left) {
            text += below(8) ? kLikely[below(kLikely.size())] : static_cast<char>(below(256));
        }
        return text;
    }

    std::string name() {
        const auto& table = option_table();
        std::string text(table[below(table.size())].name);
        if (below(8) == 0 && !text.empty())
            text[below(text.size())] = static_cast<char>(below(256));
        return below(20) ? text : junk(10);
    }

    std::string value() {
        constexpr std::array<std::string_view, 16> kValues{
            "0",
            "1",
            "16",
            "17",
            "4096",
            "4294967294",
            "4294967295",
            "18446744073709551616",
            "-1",
            "1M",
            "64G",
            "all",
            "none",
            "close",
            "1:2:3",
            ""};
        if (below(4) == 0) return junk(12);
        const auto* option = find_option(name());
        if (option && !option->value.choices.empty() && below(2)) {
            return std::string(option->value.choices.front().word);
        }
        return std::string(kValues[below(kValues.size())]);
    }

    std::mt19937 engine_;
};

void check_request(const MountRequest& request) {
    const auto& options = request.options;
    ASSERT_TRUE(options.uid && options.gid);
    if (options.allow_root_identity == Switch::off) {
        ASSERT_NE(0u, *options.uid);
        ASSERT_NE(0u, *options.gid);
    }
    ASSERT_LE(options.gids.size(), 16u);
    ASSERT_LE(options.acregmin, options.acregmax);
    ASSERT_LE(options.acdirmin, options.acdirmax);
    ASSERT_GE(options.nconnect, 1u);
    ASSERT_LE(options.nconnect, 16u);
    ASSERT_EQ(0u, options.rsize % 1024);
    ASSERT_LE(options.rsize, 1u << 20);
    ASSERT_GE(options.write_behind, 1u << 20);
    ASSERT_NE(0, options.port);
    ASSERT_FALSE(request.source.host.empty());
    ASSERT_EQ('/', request.source.export_path.front());

    std::vector<RawOption> again;
    for (const auto& [name, value] : request.effective) {
        again.push_back({name, value.empty() ? std::nullopt : std::optional(value), "-o"});
    }
    const auto second = parse_mount_request(request.source.display(), again);
    ASSERT_TRUE(second) << second.error().user_text;
    ASSERT_EQ(request.effective, second->effective);
    ASSERT_EQ(request.source.display(), second->source.display());
}

void check_failure(const core::Failure& failure) {
    ASSERT_EQ(EINVAL, failure.code);
    ASSERT_TRUE(failure.user_text.starts_with("cannot mount "));
    ASSERT_LT(failure.user_text.size(), 8000u);
    for (const char c : failure.user_text) {
        ASSERT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f) << failure.user_text;
    }
}

TEST(RandomTest, EveryInputEndsInARequestOrOneLine) {
    const char* wanted = std::getenv("UIDNFS_SEED");
    const auto seed = wanted ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 20240229u;
    Generator random(seed);
    int requests = 0;
    int failures = 0;
    for (int round = 0; round < kRounds; ++round) {
        const auto source = random.source();
        const auto text = random.option_string();
        SCOPED_TRACE(testing::Message() << "seed " << seed << " round " << round);
        const auto outcome = parse_mount_request(source, split_option_string(text, "-o"));
        outcome ? ++requests : ++failures;
        outcome ? check_request(*outcome) : check_failure(outcome.error());
        if (HasFatalFailure()) return;
    }
    // Both ways are worth testing only if both are taken.
    EXPECT_GT(requests, kRounds / 50);
    EXPECT_GT(failures, kRounds / 4);
}

}  // namespace
}  // namespace uidnfs::config
