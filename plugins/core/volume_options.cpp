// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/volume_options.hpp"

#include "config/joined.hpp"
#include "config/option_table.hpp"
#include "config/text.hpp"
#include "plugins/core/volume_identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <optional>

namespace uidnfs::plugins {
namespace {

using config::MountOptions;
using config::OptionSpec;
using config::RawOption;

constexpr std::string_view kWhere = "the volume's options";
constexpr std::string_view kOperators = "the operator's configuration";

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kOpposites{
    {{"ro", "rw"}, {"rw", "ro"}, {"sync", "async"}, {"async", "sync"}}};

/// What may be shown of an option: never the value of one that we do not know, be it joined to
/// another without a comma.
std::string spelled(const RawOption& option) {
    if (!option.value || !config::find_option(option.name)) return config::shown(option.name, 40);
    return fmt::format("{}={}", config::shown(option.name, 40), config::shown_value(*option.value));
}

bool is_id(std::string_view name) { return name == "uid" || name == "gid" || name == "gids"; }

/// The options in effect when `options` are all there is; problems are told elsewhere.
MountOptions apply_all(const std::vector<RawOption>& options, MountOptions onto = {}) {
    for (const auto& raw : options) {
        const auto* option = config::find_option(raw.name);
        if (!option) continue;
        if (const auto value = config::parse_value(option->name, option->value, raw.value)) {
            option->apply(onto, *value);
        }
    }
    return onto;
}

std::vector<std::optional<std::string>> show_all(const MountOptions& options) {
    std::vector<std::optional<std::string>> shown;
    for (const auto& option : config::option_table()) shown.push_back(option.show(options));
    return shown;
}

class Checker {
public:
    Checker(const Definition& definition, Dialect dialect, const OptionRules& rules)
        : definition_(definition), dialect_(dialect), rules_(rules), identity_(definition, rules) {}

    core::Outcome<VolumeOptions> run() {
        problems_ = definition_.problems;
        begin();
        for (const auto& [name, value] : definition_.options)
            take({name, value, std::string(kWhere)});
        finish_dialect();
        for (auto& wrong : identity_.check(result_)) problem(std::move(wrong));
        check_source();
        append(rules_.fixed);
        append(rules_.forced);
        if (problems_.empty()) check_together();
        if (problems_.empty()) return std::move(result_);
        return core::Failure{EINVAL, fmt::format("{}", fmt::join(problems_, ". "))};
    }

private:
    void problem(std::string text) { problems_.push_back(std::move(text)); }

    void append(const std::vector<RawOption>& options) {
        result_.options.insert(result_.options.end(), options.begin(), options.end());
    }

    /// What holds before the caller says anything.
    void begin() {
        result_.source = definition_.source;
        result_.options.push_back({"access", "any", std::string(kOperators)});
        if (dialect_ == Dialect::docker) {
            result_.options.push_back({"copyup", {}, std::string(kOperators)});
        }
        if (rules_.allow_root_identity == config::Switch::on) {
            result_.options.push_back({"allow_root_identity", {}, std::string(kOperators)});
        }
        append(rules_.defaults);
        auto base = result_.options;
        base.insert(base.end(), rules_.fixed.begin(), rules_.fixed.end());
        base_ = apply_all(base);
        base_shown_ = show_all(base_);
    }

    void take(RawOption raw) {
        if (take_login(raw)) return;
        if (dialect_ == Dialect::cloudfoundry && take_cloudfoundry(raw)) return;
        take_mount_option(std::move(raw));
    }

    bool take_login(const RawOption& raw) {
        if (raw.name == "username") {
            identity_.set_username(*raw.value);
            return true;
        }
        if (raw.name != "credentials") return false;
        if (dialect_ != Dialect::docker) {
            // Whoever names a file gets its identity: Docker's users are root's, developers of
            // applications are not.
            tell_unwanted(raw, "it is for Docker only; use username and password");
            return true;
        }
        if (auto wrong = identity_.set_credentials(*raw.value); !wrong.empty()) {
            problem(std::move(wrong));
        }
        return true;
    }

    /// The keys of nfsv3driver that have another name or meaning there.
    bool take_cloudfoundry(const RawOption& raw) {
        const auto& value = *raw.value;
        if (raw.name == "mount" || raw.name == "auto_cache" || raw.name == "experimental" ||
            raw.name == "sloppy_mount") {
            return true;  // for others, or without effect there too
        }
        if (raw.name == "readonly") {
            if (value == "true") {
                is_cached_ = true;
                take_mount_option({"ro", "", raw.where});
            } else {
                problem(fmt::format(
                    "Invalid ro parameter value: \"{}\": only true is possible; leave readonly out "
                    "for a share that can be written",
                    config::shown(value)
                ));
            }
            return true;
        }
        if (raw.name == "cache") {
            if (value != "true" && value != "false") {
                problem(fmt::format(
                    "Invalid 'cache' option: cache={}: use true or false", config::shown(value)
                ));
            }
            is_cached_ = is_cached_ || value == "true";
            return true;
        }
        if (raw.name != "version") return false;
        take_version(raw);
        return true;
    }

    void take_version(const RawOption& raw) {
        const auto& value = *raw.value;
        if (value == "3" || value == "3.0") return;
        const bool is_numeric = !value.empty() &&
                                value.find_first_not_of("0123456789.") == std::string::npos &&
                                value.front() != '.' && value.back() != '.' && value != "0" &&
                                std::count(value.begin(), value.end(), '.') <= 1;
        if (!is_numeric) {
            problem(fmt::format(
                "\"version\" must be a positive numeric value: version={}: use version=3",
                config::shown(value)
            ));
        } else if (value.starts_with("3.")) {
            problem(fmt::format(
                "NFSv3 does not use minor versions. NFSv {} does not exist: use version=3", value
            ));
        } else if (value.starts_with("4") && rules_.cloudfoundry_version4 == OptionRules::Version4::serve_as_3) {
            result_.warnings.push_back(
                fmt::format("version={} is served as version 3 (force_version)", value)
            );
        } else {
            problem(fmt::format(
                "version={}: only NFS version 3 is supported; use version=3", config::shown(value)
            ));
        }
    }

    void take_mount_option(RawOption raw) {
        const auto* option = config::find_option(raw.name);
        if (!option) return refuse_unknown(raw);
        if (option->value.kind == config::Kind::flag) {
            // Docker says "-o ro" as {"ro": ""}; brokers as true and false.
            if (raw.value == "false") {
                const auto* opposite =
                    std::find_if(kOpposites.begin(), kOpposites.end(), [&](const auto& pair) {
                        return pair.first == raw.name;
                    });
                if (opposite != kOpposites.end()) {
                    raw.name = opposite->second;
                    option = config::find_option(raw.name);
                    raw.value.reset();
                }
            } else if (raw.value == "" || raw.value == "true") {
                raw.value.reset();
            }
        }
        const auto value = config::parse_value(option->name, option->value, raw.value);
        if (option->availability.state == config::Availability::State::now && !value) {
            return refuse_value(raw, *option, value.error().user_text);
        }
        if (!may_set(*option, raw.name)) {
            // What holds anyway goes without saying; the mounter would take it for the operator's.
            if (changes_nothing(*option, value)) return;
            return refuse_operators(raw, *option);
        }
        if (option->name == "write_behind" && value && value->number > base_.write_behind) {
            return problem(fmt::format(
                "{}: above the operator's ceiling; use at most {}",
                spelled(raw),
                config::show_size(base_.write_behind)
            ));
        }
        if (is_among(rules_.forced, *option, value)) {
            result_.warnings.push_back(
                fmt::format("{}: the operator's value is used instead", spelled(raw))
            );
            return;
        }
        if (is_among(rules_.fixed, *option, value)) {
            return problem(fmt::format(
                "Not allowed options: {}: the operator has fixed it; leave it out", raw.name
            ));
        }
        if (contradicts(raw)) return;
        if (is_id(raw.name)) identity_.declare(raw.name);
        result_.options.push_back(std::move(raw));
    }

    /// A platform's words have no order in which one could be the last.
    bool contradicts(const RawOption& raw) {
        for (const auto& [name, opposite] : kOpposites) {
            if (raw.name != name) continue;
            const auto said = std::any_of(
                result_.options.begin(),
                result_.options.end(),
                [word = opposite](const RawOption& option) {
                    return option.name == word && option.where == kWhere;
                }
            );
            if (!said) return false;
            problem(fmt::format(
                "{} and {} contradict each other; leave one of them out", opposite, name
            ));
            return true;
        }
        return false;
    }

    bool may_set(const OptionSpec& option, std::string_view written) const {
        if (option.set_by != config::SetBy::callers) return false;
        const auto& allowed = rules_.allowed_options;
        if (allowed.empty()) return true;
        const auto is_listed = [&](std::string_view name) {
            return std::find(allowed.begin(), allowed.end(), name) != allowed.end();
        };
        return is_listed(option.name) || is_listed(written);
    }

    /// Somebody may say what holds anyway, so that "hard,timeo=600,nolock" of a compose file
    /// passes.
    bool changes_nothing(const OptionSpec& option, const core::Outcome<config::Value>& value)
        const {
        if (option.availability.state != config::Availability::State::now || !value) return false;
        auto with = base_;
        option.apply(with, *value);
        return show_all(with) == base_shown_;
    }

    /// Whether `option` is one of these, or changes what one of these says (sync, async).
    bool is_among(
        const std::vector<RawOption>& operators,
        const OptionSpec& option,
        const core::Outcome<config::Value>& value
    ) const {
        if (!value) return false;
        for (const auto& raw : operators) {
            const auto* mine = config::find_option(raw.name);
            if (!mine) continue;
            if (mine == &option) return true;
            auto with = apply_all({raw}, base_);
            const auto before = mine->show(with);
            option.apply(with, *value);
            if (mine->show(with) != before) return true;
        }
        return false;
    }

    void refuse_value(const RawOption& raw, const OptionSpec& option, const std::string& why) {
        if (raw.name == "uid" || raw.name == "gid") {
            identity_.declare(raw.name);
            // The table's own rule begins at 0 for everybody.
            auto rule = option.value;
            rule.min = rules_.allow_root_identity == config::Switch::on ? 0 : 1;
            return problem(fmt::format(
                "Invalid '{}' option (0, negative, or non-integer): {}: {}",
                raw.name,
                spelled(raw),
                config::parse_value(option.name, rule, raw.value).error().user_text
            ));
        }
        problem(fmt::format("{}: {}", spelled(raw), why));
    }

    /// What the caller may write: whatever else is near would be refused next.
    std::vector<std::string_view> callers_words() const {
        std::vector<std::string_view> words{"share", "source", "username", "password"};
        if (dialect_ == Dialect::docker) {
            words.push_back("credentials");
        } else {
            words.insert(words.end(), {"readonly", "cache", "version"});
        }
        for (const auto name : config::option_names()) {
            const auto* option = config::find_option(name);
            if (option && may_set(*option, name)) words.push_back(name);
        }
        return words;
    }

    void refuse_unknown(const RawOption& raw) {
        const auto nearest = config::nearest_name(raw.name, callers_words());
        const auto hint = nearest.empty() ? std::string("leave it out")
                                          : fmt::format("did you mean {}?", nearest);
        tell_unwanted(raw, fmt::format("it is unknown; {}", hint));
    }

    void refuse_operators(const RawOption& raw, const OptionSpec& option) {
        const bool is_narrowed = option.set_by == config::SetBy::callers;
        tell_unwanted(
            raw,
            option.availability.refusal.empty() || option.availability.value.size() > 0
                ? fmt::format(
                      "{}; leave it out",
                      is_narrowed ? "the operator does not allow it for volumes"
                                  : "only the operator sets it"
                  )
                : std::string(option.availability.refusal)
        );
    }

    void tell_unwanted(const RawOption& raw, const std::string& why) {
        const auto name = config::shown(raw.name, 40);
        if (dialect_ == Dialect::cloudfoundry &&
            rules_.cloudfoundry_unknown == OptionRules::Unknown::warn) {
            result_.warnings.push_back(fmt::format("option {} is ignored: {}", name, why));
            return;
        }
        problem(fmt::format("Not allowed options: {}: {}", name, why));
    }

    void finish_dialect() {
        if (dialect_ != Dialect::cloudfoundry || is_cached_) return;
        // After the operator's defaults, before what the caller said.
        const auto first = std::find_if(
            result_.options.begin(),
            result_.options.end(),
            [](const RawOption& option) { return option.where == kWhere; }
        );
        result_.options.insert(first, {"actimeo", "0", std::string("cache=false")});
    }

    void check_source() {
        if (!definition_.source.empty()) return;
        const bool is_told = !definition_.problems.empty();
        if (dialect_ == Dialect::cloudfoundry) {
            problem("Missing mandatory 'source' field in 'Opts'; give the share");
        } else if (!is_told) {
            problem("no share: give share=server:/export");
        }
    }

    /// What options mean together; an identity that is still to be resolved is not their matter.
    void check_together() {
        auto options = result_.options;
        if (!identity_.is_declared()) {
            options.push_back({"uid", "65534", {}});
            options.push_back({"gid", "65534", {}});
        }
        auto request = config::parse_mount_request(result_.source, options);
        if (!request) return problem(request.error().user_text);
        std::move(
            request->warnings.begin(), request->warnings.end(), std::back_inserter(result_.warnings)
        );
    }

    const Definition& definition_;
    Dialect dialect_;
    const OptionRules& rules_;
    VolumeIdentity identity_;
    MountOptions base_;
    std::vector<std::optional<std::string>> base_shown_;
    VolumeOptions result_;
    std::vector<std::string> problems_;
    bool is_cached_ = false;
};

}  // namespace

core::Outcome<VolumeOptions> check_options(
    const Definition& definition, Dialect dialect, const OptionRules& rules
) {
    return Checker(definition, dialect, rules).run();
}

core::Outcome<MountSpec> make_spec(
    const VolumeKey& key, const VolumeOptions& options, const MountIdentity& identity
) {
    MountSpec spec{.volume = key, .directory = directory_name(key), .source = options.source};
    spec.options = options.options;
    spec.identity = identity;
    if (!identity.from.empty()) {
        const std::string where = "the directory";
        spec.options.push_back({"uid", std::to_string(identity.uid), where});
        spec.options.push_back({"gid", std::to_string(identity.gid), where});
        if (!identity.gids.empty()) {
            spec.options.push_back({"gids", fmt::format("{}", fmt::join(identity.gids, ":")), where}
            );
        }
    }
    // The last word is the one table's.
    const auto request = config::parse_mount_request(spec.source, spec.options);
    if (!request) return request.error();
    spec.identity.uid = request->options.uid.value_or(0);
    spec.identity.gid = request->options.gid.value_or(0);
    spec.identity.gids = request->options.gids;
    if (identity.from.empty()) spec.identity.from = "declared";
    return spec;
}

}  // namespace uidnfs::plugins
