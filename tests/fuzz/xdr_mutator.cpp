// SPDX-License-Identifier: Apache-2.0
// Changes that XDR understands, for targets whose input is a byte and then results: words become
// other words (lengths, counts, booleans, types, the limits of numbers), runs of words are
// repeated, left out or taken to another place. libFuzzer's own changes, of bytes, take turns with
// these.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

constexpr std::size_t kWord = 4;

/// `data` behind its first byte, as words; a rest that fills none is left alone.
class Words {
public:
    Words(std::uint8_t* data, std::size_t size, std::size_t max_size)
        : bytes_(data + 1), count_((size - 1) / kWord), max_((max_size - 1) / kWord) {}

    std::size_t count() const { return count_; }
    std::size_t size() const { return 1 + count_ * kWord; }
    std::uint32_t get(std::size_t at) const {
        std::uint32_t value;
        std::memcpy(&value, bytes_ + at * kWord, kWord);
        return __builtin_bswap32(value);
    }
    void set(std::size_t at, std::uint32_t value) {
        value = __builtin_bswap32(value);
        std::memcpy(bytes_ + at * kWord, &value, kWord);
    }
    /// Makes room for `run` words at `at`; fewer where there is no more room. Their content is what
    /// was there.
    std::size_t insert(std::size_t at, std::size_t run) {
        run = std::min(run, max_ - count_);
        std::memmove(bytes_ + (at + run) * kWord, bytes_ + at * kWord, (count_ - at) * kWord);
        count_ += run;
        return run;
    }
    void erase(std::size_t at, std::size_t run) {
        run = std::min(run, count_ - at);
        std::memmove(bytes_ + at * kWord, bytes_ + (at + run) * kWord, (count_ - at - run) * kWord);
        count_ -= run;
    }

private:
    std::uint8_t* bytes_;
    std::size_t count_;
    std::size_t max_;
};

std::uint32_t other_word(std::uint32_t word, std::minstd_rand& chance) {
    constexpr std::array<std::uint32_t, 20> kLies{
        0,   1,   2,    3,    5,    7,        8,          12,         64,         65,
        255, 256, 4095, 4096, 4097, 1u << 20, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    switch (chance() % 4) {
        case 0: return word + 1;
        case 1: return word - 1;
        case 2: return static_cast<std::uint32_t>(chance());
        default: return kLies[chance() % kLies.size()];
    }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(
    std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned int seed
) {
    std::minstd_rand chance(seed);
    if (size < 1 + kWord || max_size < size || chance() % 3 == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    Words words(data, size, max_size);
    const auto at = chance() % words.count();
    const auto run = 1 + chance() % std::min<std::size_t>(words.count() - at, 32);
    switch (chance() % 8) {
        case 0: {
            const auto added = words.insert(at, run);
            // What stood there is there twice; one of them is changed.
            if (added > 0) words.set(at, other_word(words.get(at), chance));
            break;
        }
        case 1: words.erase(at, run); break;
        case 2: {
            const auto to = chance() % words.count();
            const auto word = words.get(at);
            words.set(at, words.get(to));
            words.set(to, word);
            break;
        }
        default: words.set(at, other_word(words.get(at), chance));
    }
    return words.size();
}
