"""The controlled vocabulary of efficiency metrics that claims and measurements share.

Kind `ratio`: ratios against a baseline of the same run, fractions, and exact counts that no hardware changes.
Kind `absolute`: belongs to the hardware or data it was measured on; shown beside a claim, never scored.
"""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "either"]
Kind = Literal["ratio", "absolute"]


@dataclass(frozen=True)
class Metric:
    """One metric; `better` is "either" where only the single claim can say which direction is meant."""

    slug: str
    name: str
    unit: str
    better: Better
    kind: Kind
    meaning: str


# fmt: off
_ALL = (
    # Time
    Metric("speedup_x", "Speed-up", "x", "higher", "ratio",
           "Median wall time of the baseline divided by that of the candidate: same work, same quality."),
    Metric("throughput_ratio", "Throughput gain", "x", "higher", "ratio",
           "Tokens, samples or images a second of the candidate divided by those of the baseline."),
    Metric("latency_ratio", "Latency ratio", "x", "either", "ratio",
           "Latency of the candidate relative to the baseline's; the claim says which way round."),
    Metric("latency_overhead_frac", "Added latency", "fraction", "lower", "ratio",
           "Latency of the candidate divided by the baseline's, minus one."),
    Metric("time_ratio", "Time ratio", "x", "either", "ratio",
           "Time to the same quality relative to the baseline."),
    Metric("time_ratio_x", "Time-to-quality gain", "x", "either", "ratio",
           "Seconds to equal quality, baseline against candidate; the claim says which way round."),
    Metric("step_ratio", "Step saving", "x", "higher", "ratio",
           "Training steps to equal quality, baseline divided by candidate."),
    Metric("token_ratio", "Token saving", "x", "higher", "ratio",
           "Training tokens to equal quality, baseline divided by candidate."),
    Metric("compute_ratio", "Compute ratio", "x", "either", "ratio",
           "FLOP to equal quality relative to the baseline."),
    Metric("compute_ratio_x", "Compute-to-quality gain", "x", "higher", "ratio",
           "FLOP to equal quality, baseline divided by candidate."),
    Metric("time_s", "Time", "s", "lower", "absolute",
           "Wall time of a whole job."),
    # Energy
    Metric("energy_ratio", "Energy ratio", "x", "lower", "ratio",
           "Energy of the candidate divided by that of the baseline for the same work."),
    Metric("energy_j_per_token", "Energy per token", "J/token", "lower", "absolute",
           "Energy counter difference divided by the tokens processed."),
    # Use of the hardware
    Metric("tflops", "Arithmetic rate", "TFLOP/s", "higher", "absolute",
           "Model FLOP by formula, not by hardware counter, divided by time."),
    Metric("flop_utilisation", "FLOP utilisation", "fraction", "higher", "absolute",
           "Arithmetic rate divided by the peak rate of the hardware."),
    Metric("mem_bw_utilisation", "Memory-bandwidth utilisation", "fraction", "higher", "absolute",
           "Bytes moved a second divided by the peak bandwidth of the hardware."),
    Metric("frac_of_limit", "Fraction of the roofline", "fraction", "higher", "absolute",
           "Lower-bound time of the roofline divided by the measured time."),
    Metric("utilisation_frac", "Utilisation", "fraction", "higher", "ratio",
           "Share of a reserved resource that does useful work."),
    Metric("bubble_frac", "Pipeline bubble", "fraction", "lower", "ratio",
           "Share of the pipeline's time in which a stage waits."),
    Metric("padding_frac", "Padding", "fraction", "lower", "ratio",
           "Share of processed tokens that are padding."),
    Metric("parallel_efficiency", "Parallel efficiency", "fraction", "higher", "ratio",
           "Throughput on n devices divided by n times that on one."),
    Metric("kernel_overhead_frac", "Kernel overhead", "fraction", "lower", "ratio",
           "Extra kernel time relative to the baseline's kernel."),
    Metric("throughput_drop_frac", "Throughput drop", "fraction", "lower", "ratio",
           "Share of throughput lost when the load changes as the claim says."),
    # Memory and bytes
    Metric("mem_peak_ratio", "Peak-memory ratio", "x", "either", "ratio",
           "Peak memory of baseline and candidate in the same run; the claim says which way round."),
    Metric("mem_saving_frac", "Memory saved", "fraction", "higher", "ratio",
           "One minus the candidate's memory divided by the baseline's."),
    Metric("mem_peak_mb", "Peak memory", "MB", "lower", "absolute",
           "Peak allocated memory minus inputs, in 10^6 bytes."),
    Metric("mem_peak_gb", "Peak memory", "GB", "lower", "absolute",
           "Peak allocated memory minus inputs, in 10^9 bytes."),
    Metric("bytes_ratio", "Memory-traffic saving", "x", "higher", "ratio",
           "Bytes moved to and from device memory, baseline divided by candidate."),
    Metric("comm_ratio", "Communication ratio", "x", "lower", "ratio",
           "Bytes sent between devices, candidate relative to baseline."),
    Metric("state_bytes_ratio", "Optimiser-state saving", "x", "higher", "ratio",
           "Bytes of optimiser state, baseline divided by candidate, counted from live tensors."),
    Metric("bytes_per_param", "Bytes per parameter", "B", "lower", "ratio",
           "Training-state bytes for each parameter, counted from live tensors."),
    Metric("bytes_per_token", "Cache bytes per token", "B", "lower", "ratio",
           "Key and value cache bytes for each token, counted from live tensors."),
    Metric("bits_per_weight", "Bits per weight", "bit", "lower", "ratio",
           "Stored bits for each weight, scales and offsets included."),
    Metric("bits_saved", "Bits saved", "bit", "higher", "ratio",
           "Stored bits saved for each parameter."),
    Metric("checkpoint_mb", "Checkpoint size", "MB", "lower", "ratio",
           "Size of what must be stored for each task, in 10^6 bytes, counted from tensors."),
    # Counts
    Metric("param_ratio", "Parameter ratio", "x", "either", "ratio",
           "Exact parameter counts of baseline and candidate; the claim says which way round."),
    Metric("trainable_param_frac", "Trainable share", "fraction", "lower", "ratio",
           "Trainable parameters divided by all parameters."),
    Metric("compression_ratio", "Compression", "x", "either", "ratio",
           "Size after compression relative to before; the claim says which way round."),
    Metric("flop_ratio", "FLOP ratio", "x", "either", "ratio",
           "Counted FLOP relative to the baseline; the claim says which way round."),
    Metric("compute_saving_frac", "Compute saved", "fraction", "higher", "ratio",
           "One minus the candidate's FLOP divided by the baseline's."),
    Metric("kv_budget_frac", "Cache kept", "fraction", "lower", "ratio",
           "Share of keys and values kept at equal quality."),
    Metric("batch_ratio", "Batch gain", "x", "higher", "ratio",
           "Largest batch of the candidate divided by the baseline's."),
    Metric("lr_ratio", "Learning-rate gain", "x", "higher", "ratio",
           "Largest stable learning rate of the candidate divided by the baseline's."),
    Metric("data_fraction_removed", "Data removed", "fraction", "higher", "ratio",
           "Share of training data removed at equal quality."),
    # Scaling
    Metric("scaling_exponent", "Scaling exponent", "", "either", "ratio",
           "Slope of an ordinary least-squares fit in log-log, over the asymptotic half."),
    Metric("sequential_ops_exponent", "Sequential-operations exponent", "", "lower", "ratio",
           "Slope, in log-log, of operations that must follow one another."),
    Metric("optimum_drift_log2", "Drift of the optimum", "octaves", "lower", "ratio",
           "How far the best setting moves over the sweep, in powers of two."),
    Metric("crossover_len", "Crossover length", "tokens", "lower", "absolute",
           "Sequence length beyond which the candidate is faster."),
    Metric("max_context_ratio", "Context gain", "x", "higher", "ratio",
           "Longest context that passes, divided by the training length."),
    # Quality
    Metric("accuracy", "Accuracy", "fraction", "higher", "absolute",
           "Share of correct answers on the claim's task."),
    Metric("accuracy_delta", "Accuracy change", "points", "higher", "absolute",
           "Accuracy of the candidate minus that of the baseline."),
    Metric("accuracy_ratio", "Accuracy kept", "fraction", "higher", "ratio",
           "Accuracy of the candidate divided by that of the baseline."),
    Metric("ppl", "Perplexity", "", "lower", "absolute",
           "Perplexity on the claim's data."),
    Metric("ppl_delta", "Perplexity change", "", "lower", "absolute",
           "Perplexity of the candidate minus that of the baseline."),
    Metric("ppl_ratio", "Perplexity ratio", "x", "lower", "ratio",
           "Perplexity of the candidate divided by that of the baseline."),
    Metric("loss_delta_nats", "Loss change", "nats", "lower", "ratio",
           "Validation loss of the candidate minus the baseline's, in nats a token (or a byte)."),
    Metric("loss_excess_frac", "Excess loss", "fraction", "lower", "ratio",
           "Loss of the candidate divided by the baseline's, minus one."),
    Metric("gap_closed_frac", "Gap closed", "fraction", "higher", "ratio",
           "Share of the gap between two references that the candidate closes."),
    Metric("correlation_r", "Correlation", "", "higher", "ratio",
           "Pearson correlation between the two quantities that the claim names."),
    Metric("rmse", "Error", "", "lower", "absolute",
           "Root mean square error against a 64-bit reference."),
    Metric("rmse_ratio", "Error reduction", "x", "higher", "ratio",
           "Root mean square error of the baseline divided by the candidate's."),
    Metric("order_holds", "Ordering holds", "", "higher", "ratio",
           "One if the stated ordering holds, with paired p < 0.05 over seeds; otherwise zero."),
    Metric("unstable_frac", "Unstable runs", "fraction", "lower", "ratio",
           "Share of training runs that diverge."),
    Metric("memorised_frac", "Memorised output", "fraction", "lower", "ratio",
           "Share of unprompted output that is copied from training data."),
    Metric("memorised_ratio", "Less memorised output", "x", "higher", "ratio",
           "Memorised output of the baseline divided by the candidate's."),
    Metric("train_test_overlap_frac", "Train-test overlap", "fraction", "lower", "ratio",
           "Share of validation data that also stands in the training data."),
    # Decoding
    Metric("acceptance_rate", "Acceptance rate", "fraction", "higher", "ratio",
           "Share of drafted tokens that the target model accepts."),
    Metric("tokens_per_step", "Tokens per step", "tokens", "higher", "ratio",
           "Tokens produced for each step of the target model."),
    Metric("mean_layers", "Layers used", "layers", "lower", "ratio",
           "Mean number of decoder layers run for each token."),
)
# fmt: on

METRICS: dict[str, Metric] = {metric.slug: metric for metric in _ALL}
