/**
 * From which offset on a partition has records that some open window may need. What was read is kept as runs of offsets
 * with their newest time; runs are joined where there are many, so that it takes a few KiB however long windows are.
 */

interface Run {
  readonly from: number
  readonly timeMax: number
}

const RUNS_MAX = 256

export class OpenOffsets {
  #runs: Run[] = []

  /** Offsets from `from` on, up to the next run, have times up to `timeMax`. */
  add(from: number, timeMax: number): void {
    this.#runs.push({ from, timeMax })
    if (this.#runs.length > RUNS_MAX) this.#runs = joinedPairs(this.#runs)
  }

  /** Records from `from` on with times up to `timeMax` may be needed again, of what was let go of. */
  reopen(from: number, timeMax: number): void {
    const [first] = this.#runs
    if (first === undefined || from < first.from) this.#runs.unshift({ from, timeMax })
    else if (timeMax > first.timeMax) this.#runs[0] = { from, timeMax }
  }

  /** Lets go of what is older than all that is needed: `isNeeded` is asked of the newest time of a run. */
  prune(isNeeded: (timeMax: number) => boolean): void {
    const first = this.#runs.findIndex(({ timeMax }) => isNeeded(timeMax))
    this.#runs = first === -1 ? [] : this.#runs.slice(first)
  }

  /** The first offset that may be needed; `next` where nothing is. */
  first(next: number): number {
    return this.#runs[0]?.from ?? next
  }

  get bytes(): number {
    return this.#runs.length * 16
  }
}

function joinedPairs(runs: readonly Run[]): Run[] {
  const joined: Run[] = []
  for (let index = 0; index < runs.length; index += 2) {
    const run = runs[index]
    if (run === undefined) break
    const timeMax = Math.max(run.timeMax, runs[index + 1]?.timeMax ?? -Infinity)
    joined.push({ from: run.from, timeMax })
  }
  return joined
}
