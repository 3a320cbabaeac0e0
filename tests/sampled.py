"""Tests of many members, of which some stand for all in every run; the others run before a release (`-m thorough`).

A member is named as pytest names it, in the brackets behind the test's name.
"""

EVERY_RUN: dict[str, tuple[str, ...]] = {
    "test_adapters.py::test_each_trains_and_its_pruned_weights_stay": ("nnx", "functions"),
    "test_bench.py::test_peers_do_the_work": ("fc",),
    "test_checkpoints.py::test_a_deeper_network_goes_on_to_the_same_bits": ("lstm",),
    "test_checkpoints.py::test_a_sparse_training_goes_on_where_it_was": ("rigl",),
    "test_checkpoints.py::test_a_training_is_not_resumed_under_another_optimiser": ("one-bit", "clipping"),
    "test_checkpoints.py::test_a_training_that_was_cut_off_ends_in_the_same_bits": (
        *("weights-301", "masks-1", "by_recipe-601"),
    ),
    "test_cli.py::test_an_interrupted_job_goes_on_to_the_same_bits": ("2",),
    "test_cluster_kills.py::test_an_external_cluster_that_is_killed": ("True-workers", "False-scheduler"),
    "test_cluster_kills.py::test_ctrl_c_in_a_terminal_is_the_commands_to_hear": ("0-1", "3-1"),
    "test_compaction.py::test_training_without_dead_units_is_training_with_them": ("positive bias",),
    "test_controls.py::test_a_shuffled_mask_has_the_layers_densities_at_random_places": ("large_final", "synflow"),
    "test_explorer_class.py::test_a_lecturers_link_shows_parts_and_hides_others": (
        *("?show=lab,net-shown0", "?show=lab,article&hide=article-shown2"),
    ),
    "test_explorer_page.py::test_an_accessibility_checker_finds_nothing_serious": ("light-laptop", "dark-phone"),
    "test_explorer_page.py::test_the_checker_finds_nothing_serious_while_a_mask_is_learned": ("light",),
    "test_learned_masks.py::test_masks_without_draws_learn_too": ("threshold",),
    "test_live_sparse.py::test_a_hundred_steps_are_those_of_the_dense_path": ("rigl",),
    "test_live_sparse.py::test_bits_are_the_same_alone_among_others_on_one_core_and_resumed": ("rigl",),
    "test_mask_learning.py::test_scores_are_those_of_the_toolkits_own_trainer_to_the_bit": (
        *("bernoulli-signed_constant-0.1", "signed-signed_constant-0.01"),
    ),
    "test_network_conformance.py::test_every_sparse_method_begins_and_steps_with_exact_counts": (
        *("linen-rigl", "lstm-set", "lstm-dsr"),
    ),
    "test_network_state.py::test_masks_are_learned_on_a_residual_network": ("threshold",),
    "test_networks.py::test_logits_are_finite_and_one_a_class": ("fc", "conv2", "lenet5"),
    "test_neural_graphs.py::test_compiled_or_not_many_or_one_the_logits_are_the_same": ("discrete",),
    "test_packaging.py::test_a_repository_keeps_its_own_analysis_and_figures": (
        *("packages-own-first", "folders-own-first"),
    ),
    "test_recurrent.py::test_it_trains_sparsely": ("set",),
    "test_sharding.py::test_inside_shard_map_a_device_learns_a_mask_of_its_own_rows": ("bernoulli", "threshold"),
    "test_sharding.py::test_inside_shard_map_a_device_trains_its_own_rows_sparsely": ("rigl",),
    "test_sharding.py::test_jit_vmap_and_scan_make_the_same_of_arrays": ("freeze-float32", "snip-float32"),
    "test_sharding.py::test_parameters_on_two_devices_are_pruned_and_restarted_as_whole_ones": (
        *("magnitude_increase-layer-float32", "snip-global-bfloat16"),
    ),
    "test_sparse_optimisers.py::test_any_pytree_and_any_optimiser_will_do": ("muon", "a part each"),
    "test_sparse_optimisers.py::test_bfloat16_stays_bfloat16": ("dnw",),
    "test_sparse_optimisers.py::test_strict_promotion_of_types_changes_nothing": ("rigl", "deep_r"),
    "test_sparse_training.py::test_many_at_once_are_one_after_another": ("dsr", "rigl"),
    "test_sparse_training.py::test_sparse_momentum_prunes_and_grows_as_many_as_the_released_code": (
        *("shapes1-densities1-means1-0.5", "shapes2-densities2-means2-0.2", "shapes3-densities3-means3-0.5"),
    ),
    "test_sparse_training.py::test_the_same_again_resumed_and_compiled_or_not": ("dsr", "rigl"),
    "test_sparse_training.py::test_weights_that_come_alive_have_no_past_whatever_the_optimiser": (
        *("clipped", "one number a layer"),
    ),
    "test_training.py::test_evaluation_in_chunks_is_evaluation_at_once": ("999", "1000"),
    "test_training.py::test_the_same_bits_on_one_device_or_two_and_for_any_number_of_slots": ("1-7", "2-3"),
    "test_zoo.py::test_a_name_is_of_the_network_and_classes_are_the_datas": (
        *("resnet20", "wrn22-2", "vgg11", "mobilenet", "lstm"),
    ),
}


def named(nodeid: str) -> tuple[str, str]:
    """A test's name, and its member's."""
    test, _, member = nodeid.partition("[")
    return test.rpartition("/")[2], member.removesuffix("]")
