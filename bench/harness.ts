/**
 * A benchmark states its question and measures ours, its peers and the physical limit in turn within one run
 * (A B C A B C …), so that a busy moment of the machine hurts everyone alike. Every contender works on the same
 * distinct records, and ours and each peer read them back into a checksum that must be the oracle's.
 */

/** `full` is what is published, `quick` is for a look, `tiny` runs as a test so that nothing here rots. */
export type Scale = 'full' | 'quick' | 'tiny'

export interface Sample {
  /** In the unit of the case. */
  readonly value: number
  /** What was read back; null for a limit, which stores nothing that could be read. */
  readonly checksum: string | null
}

export interface Contender {
  readonly name: string
  /** One whole measurement, with its own set-up and clean-up around the part that counts. */
  measure(): Promise<Sample>
}

export interface BenchmarkCase {
  readonly name: string
  readonly unit: string
  readonly higherIsBetter: boolean
  /** By the name of a peer or of the limit: below the floor is a failure, the goal is where we want to be. */
  readonly targets: Readonly<Record<string, Target>>
  /** What every contender has to read back. */
  readonly checksum: string
  readonly ours: Contender
  readonly peers: readonly Contender[]
  readonly limit: Contender
  /** Peers that would belong here and are not installed, with the reason. */
  readonly missing: readonly string[]
}

/** Both are ratios as in `Comparison`. */
export interface Target {
  readonly floor: number
  readonly goal: number
}

export interface Benchmark {
  readonly name: string
  readonly question: string
  /** Prepares the records and yields the cases one after the other. */
  cases(scale: Scale): AsyncIterable<BenchmarkCase>
}

export interface Comparison {
  readonly value: number
  /** For a peer: how many times better ours is. For the limit: the part of it that ours reaches. */
  readonly ratio: number
}

export interface BenchmarkResult {
  readonly bench: string
  readonly case: string
  readonly unit: string
  readonly higherIsBetter: boolean
  readonly ours: number
  readonly peers: Readonly<Record<string, Comparison>>
  readonly limit: { readonly name: string } & Comparison
  readonly runs: number
  /** (max − min) / median of ours. */
  readonly spread: number
  /** By the name of the peer or limit it is a ratio to. */
  readonly floor: Readonly<Record<string, number>>
  readonly goal: Readonly<Record<string, number>>
  /** The worst of its targets; contenders that are missing or have no target do not count. */
  readonly met: 'goal' | 'floor' | 'short'
  readonly missing: readonly string[]
}

const RUNS: Readonly<Record<Scale, number>> = { full: 7, quick: 3, tiny: 1 }

/** Runs one benchmark; `onProgress` hears one line per measurement. */
export async function* runBenchmark(
  benchmark: Benchmark,
  scale: Scale,
  onProgress: (line: string) => void = () => {},
): AsyncGenerator<BenchmarkResult> {
  for await (const subject of benchmark.cases(scale)) {
    const values = new Map<Contender, number[]>()
    const contenders = [subject.ours, ...subject.peers, subject.limit]
    for (let run = 0; run < RUNS[scale]; run++) {
      for (const contender of contenders) {
        onProgress(
          `${benchmark.name} ${subject.name}: run ${run + 1}/${RUNS[scale]}, ${contender.name}`,
        )
        const sample = await contender.measure()
        checkSample(`${benchmark.name} ${subject.name} ${contender.name}`, subject, sample)
        values.set(contender, [...(values.get(contender) ?? []), sample.value])
      }
    }
    yield summarize(benchmark.name, subject, values)
  }
}

export function summarize(
  bench: string,
  subject: BenchmarkCase,
  values: ReadonlyMap<Contender, readonly number[]>,
): BenchmarkResult {
  const valueOf = (contender: Contender): number => median(values.get(contender) ?? [])
  const all = values.get(subject.ours) ?? []
  const ours = median(all)
  const ratioTo = (other: number): number => (subject.higherIsBetter ? ours / other : other / ours)
  const compare = (contender: Contender): Comparison => ({
    value: round(valueOf(contender)),
    ratio: round(ratioTo(valueOf(contender))),
  })
  const targets = Object.entries(subject.targets)
  const ratios = new Map(
    [...subject.peers, subject.limit].map((other) => [other.name, ratioTo(valueOf(other))]),
  )
  const reaches = (bound: (target: Target) => number): boolean =>
    targets.every(([name, target]) => (ratios.get(name) ?? Infinity) >= bound(target))
  return {
    bench,
    case: subject.name,
    unit: subject.unit,
    higherIsBetter: subject.higherIsBetter,
    ours: round(ours),
    peers: Object.fromEntries(subject.peers.map((peer) => [peer.name, compare(peer)])),
    limit: { name: subject.limit.name, ...compare(subject.limit) },
    runs: all.length,
    spread: round((Math.max(...all) - Math.min(...all)) / ours),
    floor: Object.fromEntries(targets.map(([name, { floor }]) => [name, floor])),
    goal: Object.fromEntries(targets.map(([name, { goal }]) => [name, goal])),
    met: reaches(({ goal }) => goal) ? 'goal' : reaches(({ floor }) => floor) ? 'floor' : 'short',
    missing: subject.missing,
  }
}

/** Seconds that a step takes. */
export async function secondsOf(step: () => Promise<void> | void): Promise<number> {
  const start = performance.now()
  await step()
  return (performance.now() - start) / 1_000
}

/** A figure that is set and not measured, to compare with as a limit. */
export function constant(name: string, value: number): Contender {
  return { name, measure: async () => ({ value, checksum: null }) }
}

/** The value that `part` of the values are at or below. Sorts them in place. */
export function percentile(values: Float64Array, part: number): number {
  values.sort()
  return values[Math.max(0, Math.ceil(values.length * part) - 1)] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** Four significant digits: more would pretend to a precision that no run has. */
function round(value: number): number {
  return Number(value.toPrecision(4))
}

function checkSample(what: string, subject: BenchmarkCase, sample: Sample): void {
  if (!(sample.value > 0 && Number.isFinite(sample.value))) {
    throw new Error(`${what} measured ${sample.value}, which is no measurement.`)
  }
  if (sample.checksum !== null && sample.checksum !== subject.checksum) {
    throw new Error(`${what} read back other records than it was given.`)
  }
}
