// SPDX-License-Identifier: Apache-2.0
#include "config/mount_options.hpp"

#include "config/checks.hpp"
#include "config/joined.hpp"
#include "config/option_table.hpp"
#include "config/source.hpp"
#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace uidnfs::config {
namespace {

constexpr std::size_t kToldProblems = 20;
/// Far more than there are. A nearest name is looked for in vain for each, and a daemon reads on.
constexpr std::size_t kMaxOptions = 2000;

/// The option as its author wrote it: "-o uid=0", "--uid=0", "uid=0 in the URL".
std::string spelled(const RawOption& raw, std::string_view name_and_value) {
    if (raw.where == "-o") return fmt::format("-o {}", name_and_value);
    if (raw.where.starts_with("--")) return fmt::format("--{}", name_and_value);
    if (raw.where.empty()) return std::string(name_and_value);
    return fmt::format("{} in {}", name_and_value, shown(raw.where));
}

std::string spelled(const RawOption& raw) {
    if (!raw.value) return spelled(raw, shown(raw.name));
    return spelled(raw, fmt::format("{}={}", shown(raw.name), shown_value(*raw.value)));
}

bool holds_secret(const RawOption& raw) {
    const auto name = without_blanks(raw.name);
    return name.starts_with("pass") || name == "credentials" || name == "secret";
}

/// What follows the comma in "gids=1,2".
bool is_number(std::string_view name) {
    return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Whether a missing identity is worth a word of its own, or follows from what was told already.
enum class Identity { known, garbled };

bool is_identity(std::string_view name) {
    return name == "uid" || name == "gid" || name == "identity";
}

/// Collects everything that is wrong before anybody is told.
class Parser {
public:
    explicit Parser(const std::vector<const RawOption*>& options) : options_(options) {
        is_sloppy_ = std::any_of(options.begin(), options.end(), [](const RawOption* raw) {
            return raw->name == "sloppy";
        });
    }

    /// `identity`: whether what the options say about it is all there is (a URL could not be read).
    void run(MountRequest& request, Identity identity) {
        identity_ = identity;
        for (const auto* raw : options_) take(*raw, request);
        if (identity_ == Identity::known) {
            auto missing = find_missing_identity(request.options);
            if (!missing.empty()) problems_.push_back(std::move(missing));
        }
        auto contradictions = find_contradictions(request.options);
        std::move(contradictions.begin(), contradictions.end(), std::back_inserter(problems_));
        settle(request.options, request.warnings);
    }

    std::vector<std::string>& problems() { return problems_; }

private:
    void take(const RawOption& raw, MountRequest& request) {
        const auto* option = find_option(raw.name);
        if (!option) {
            take_unknown(raw, request);
            return;
        }
        const auto& availability = option->availability;
        const bool is_refused = availability.state != Availability::State::now &&
                                (availability.value.empty() || availability.value == raw.value);
        if (is_refused) {
            secret_seen_ = secret_seen_ || holds_secret(raw);
            const auto name = availability.value.empty() ? spelled(raw, raw.name) : spelled(raw);
            refuse(fmt::format("{}: {}", name, availability.refusal), raw.name);
            return;
        }
        const auto value = parse_value(option->name, option->value, raw.value);
        const auto written = raw.value ? std::string_view(*raw.value) : std::string_view();
        const auto first = without_joined(written);
        if (!value && raw.where == "-o" && first != written) {
            refuse(
                fmt::format(
                    "{}: another option follows without a comma; write commas between options",
                    spelled(raw, fmt::format("{}={}", shown(raw.name), shown(first)))
                ),
                raw.name
            );
            // What it says of the identity was meant for it.
            identity_ = Identity::garbled;
            return;
        }
        if (!value) {
            refuse(fmt::format("{}: {}", spelled(raw), value.error().user_text), raw.name);
            return;
        }
        option->apply(request.options, *value);
    }

    /// The value of an unknown option is never shown: it may be a password under another name. What
    /// follows a password in a -o string may be the rest of one that had commas.
    void take_unknown(const RawOption& raw, MountRequest& request) {
        if (secret_seen_) {
            refuse("an unknown option after a password, not shown; leave both out", {});
            return;
        }
        if (raw.name.empty()) {
            refuse("an '=' without an option before it; write OPTION=VALUE", {});
            return;
        }
        secret_seen_ = holds_secret(raw);
        const auto short_name = shown(raw.name, 40);
        const auto name = raw.where == "-o" ? short_name : spelled(raw, short_name);
        if (is_sloppy_) {
            request.warnings.push_back(fmt::format("unknown option {} is ignored (sloppy)", name));
            return;
        }
        const auto bare = without_blanks(raw.name);
        const bool has_blanks = bare != raw.name && find_option(bare);
        const auto nearest = has_blanks ? bare : nearest_option(raw.name);
        const auto remedy = has_blanks         ? fmt::format("write {} without blanks", bare)
                            : !nearest.empty() ? fmt::format("did you mean {}?", nearest)
                            : is_number(raw.name)
                                ? std::string("ids of gids= are separated by colons, gids=N:N")
                                : std::string("see uidnfs mount --help");
        refuse(fmt::format("unknown option {}; {}", name, remedy), nearest);
    }

    /// `meant`: the option that its author probably had in mind.
    void refuse(std::string problem, std::string_view meant) {
        problems_.push_back(std::move(problem));
        if (is_identity(meant)) identity_ = Identity::garbled;
    }

    const std::vector<const RawOption*>& options_;
    bool is_sloppy_ = false;
    bool secret_seen_ = false;
    Identity identity_ = Identity::known;
    std::vector<std::string> problems_;
};

/// One line, also for many problems: it goes to logs, to status lines and into JSON.
core::Failure fail(
    std::string_view deed, std::string_view what, const std::vector<std::string>& problems
) {
    auto text = deed.empty() ? std::string() : fmt::format("{} {}: ", deed, what);
    if (problems.size() == 1) return {EINVAL, text + problems.front()};
    text += fmt::format("{} problems:", problems.size());
    const auto told = std::min(problems.size(), kToldProblems);
    for (std::size_t i = 0; i < told; ++i) text += fmt::format(" ({}) {}", i + 1, problems[i]);
    if (told < problems.size()) text += fmt::format(" and {} more", problems.size() - told);
    return {EINVAL, std::move(text)};
}

void list_effective(MountRequest& request) {
    for (const auto& option : option_table()) {
        const auto& availability = option.availability;
        if (availability.state != Availability::State::now && availability.value.empty()) continue;
        if (auto value = option.show(request.options)) {
            request.effective.emplace_back(option.name, std::move(*value));
        }
    }
}

/// The value of `text` up to the next comma, or up to the quote that ends it: mount(8) needs quotes
/// for SELinux labels. `text` loses it and the comma.
std::string take_item(std::string_view& text) {
    auto comma = text.find(',');
    const auto quote = text.substr(0, comma).find("=\"");
    std::string item;
    if (quote != std::string_view::npos) {
        const auto end = text.find('"', quote + 2);
        const bool is_closed =
            end != std::string_view::npos && (end + 1 == text.size() || text[end + 1] == ',');
        if (is_closed) {
            item = text.substr(0, quote + 1);
            item += text.substr(quote + 2, end - quote - 2);
            comma = end + 1 == text.size() ? std::string_view::npos : end + 1;
        }
    }
    if (item.empty()) item = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    return item;
}

RawOption split_item(std::string_view item, std::string_view where) {
    const auto equals = item.find('=');
    RawOption option{std::string(item.substr(0, equals)), std::nullopt, std::string(where)};
    if (equals != std::string_view::npos) option.value = std::string(item.substr(equals + 1));
    return option;
}

}  // namespace

std::chrono::minutes retry_window(const MountOptions& options) noexcept {
    const std::uint32_t otherwise = options.when == When::background ? 10'000 : 2;
    return std::chrono::minutes(options.retry_minutes.value_or(otherwise));
}

std::vector<RawOption> split_option_string(std::string_view text, std::string_view where) {
    std::vector<RawOption> options;
    while (!text.empty()) {
        const auto item = take_item(text);
        if (!item.empty()) options.push_back(split_item(item, where));
    }
    return options;
}

std::optional<RawOption> split_flag(std::string_view argument) {
    if (!argument.starts_with("--") || argument.size() == 2) return std::nullopt;
    const auto name = argument.substr(2, argument.find('=') - 2);
    return split_item(argument.substr(2), fmt::format("--{}", name));
}

core::Outcome<MountRequest> parse_mount_request(
    std::string_view source, const std::vector<RawOption>& options, std::string_view deed
) {
    MountRequest request;
    std::vector<std::string> problems;
    const auto parsed = parse_source(source);
    std::vector<const RawOption*> in_order;
    if (parsed) {
        request.source = parsed->source;
        for (const auto& option : parsed->options) in_order.push_back(&option);
    } else {
        problems.push_back(parsed.error().user_text);
    }
    for (const auto& option : options) in_order.push_back(&option);
    if (in_order.size() > kMaxOptions) {
        const auto why =
            fmt::format("{} options are too many; give at most {}", in_order.size(), kMaxOptions);
        return fail(deed, parsed ? shown(parsed->source.display()) : show_source(source), {why});
    }

    Parser parser(in_order);
    const bool may_hold_options = !parsed && source.find('?') != std::string_view::npos;
    parser.run(request, may_hold_options ? Identity::garbled : Identity::known);
    problems.insert(problems.end(), parser.problems().begin(), parser.problems().end());
    if (!problems.empty()) {
        return fail(deed, parsed ? shown(parsed->source.display()) : show_source(source), problems);
    }
    list_effective(request);
    return request;
}

}  // namespace uidnfs::config
