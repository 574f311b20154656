// SPDX-License-Identifier: Apache-2.0
// TogetherNames: what threads of a TogetherRun do by names: find, make, change, remove and list
// files, with the locks that the kernel holds meanwhile.
#pragma once

#include "fs/together_scene.hpp"

namespace uidnfs::test {

class TogetherNames : protected TogetherScene {
protected:
    using Kind = TogetherStep::Kind;
    using Names = Window<KnownFileRef>;

    using TogetherScene::TogetherScene;

    /// `id` 0 where there is none; wrong() where neither was so meanwhile.
    core::Task<fs::InodeId> look(Place& at);
    core::Task<void> open(ModelNumbers n);
    core::Task<void> create(TogetherStep step);
    core::Task<void> stat(ModelNumbers n);
    /// `names`: what stood under the name, since the call that looked it up began.
    core::Task<int> compare_stat(KnownFileRef node, const Names* names = nullptr);
    /// chmod(2), truncate(2).
    core::Task<void> change(ModelNumbers n, Kind kind);
    core::Task<void> remove(ModelNumbers n);
    core::Task<void> rename(ModelNumbers n);
    core::Task<void> link(ModelNumbers n);
    core::Task<void> list(ModelNumbers n);
    /// Some inode that nobody uses: the kernel needs the memory.
    core::Task<void> forget(ModelNumbers n);

private:
    void count(const fs::Entry& entry);
    /// By a path: a name that the kernel has is asked about without any lock; one that it has not,
    /// or that is not what it was, is not looked up while names change.
    core::Task<fs::InodeId> find(Place& at);
    /// What is done with the file of a path: 0 or an errno. Once more where the name lost it
    /// meanwhile.
    template <class Operation>
    core::Task<void> at_path(std::uint32_t number, std::string_view what, Operation operation);
    core::Task<int> open_node(KnownFileRef node, int flags);
    void add_open(const KnownFileRef& node, File file, int flags);
};

}  // namespace uidnfs::test
