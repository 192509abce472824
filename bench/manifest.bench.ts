import { systemClock } from '../src/base/clock.ts'
import { type ManifestFiles, manifestFilesInDirectory } from '../src/log/manifest-files.ts'
import { ManifestStore } from '../src/log/manifest-store.ts'
import { NodeFileSystem } from '../src/storage/node-file-system.ts'
import {
  constant,
  secondsOf,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
} from './harness.ts'
import {
  type Cost,
  addSegments,
  copyToDirectory,
  costOf,
  makeManifest,
  pruneSegments,
  summaryOf,
} from './manifest-places.ts'
import { makeTempDirectory } from './temp-directory.ts'

const SIZES: Readonly<Record<Scale, readonly number[]>> = {
  full: [1_000, 10_000, 100_000, 1_000_000],
  quick: [1_000, 10_000, 100_000],
  tiny: [1_000],
}
const COMMITS: Readonly<Record<Scale, number>> = { full: 6_000, quick: 3_000, tiny: 100 }
const OPEN_FLOOR_MS = 5_000
const OPEN_GOAL_MS = 2_000
/** A cost within twice that of the smallest manifest; flat is what measurements cannot tell from it. */
const FLAT = { floor: 1 / 2, goal: 1 / 1.1 }

interface Costs {
  readonly commit: Cost
  readonly prune: Cost
}

export const manifest: Benchmark = {
  name: 'manifest',
  question: 'What do a commit, a prune and an open of the manifest cost, by how much it holds?',
  async *cases(scale) {
    let smallest: Costs | null = null
    for (const size of SIZES[scale]) {
      await using directory = await makeTempDirectory()
      const place = await makeManifest(size)
      const prune = await costOf(place, COMMITS[scale], pruneSegments)
      const commit = await costOf(place, COMMITS[scale], addSegments)
      const expected = summaryOf(place.store.state)
      await place.store.close()
      smallest ??= { commit, prune }
      for (const kind of ['commit', 'prune'] as const) {
        const [own, least] = [{ commit, prune }[kind], smallest[kind]]
        yield costCase(`${kind}, ${named(size)}`, 'bytes', own.bytes, least.bytes, expected)
        const { operations } = least
        yield costCase(
          `${kind}, ${named(size)}`,
          'operations',
          own.operations,
          operations,
          expected,
        )
      }
      await copyToDirectory(place, directory.path)
      const inDirectory = manifestFilesInDirectory(new NodeFileSystem(), directory.path)
      yield openCase(`open, ${named(size)}, memory`, place.files, expected)
      yield openCase(`open, ${named(size)}, directory`, inDirectory, expected)
    }
  },
}

function named(size: number): string {
  return `${size.toLocaleString('en-US')} segments`
}

/** What was counted once: it is the same every time. */
function costCase(
  name: string,
  unit: string,
  own: number,
  least: number,
  checksum: string,
): BenchmarkCase {
  const limit = constant('the smallest manifest', least)
  return {
    name,
    unit,
    higherIsBetter: false,
    targets: { [limit.name]: FLAT },
    checksum,
    ours: { name: 'ours', measure: async () => ({ value: own, checksum }) },
    peers: [],
    limit,
    missing: [],
  }
}

function openCase(name: string, files: ManifestFiles, checksum: string): BenchmarkCase {
  const limit = constant(`${OPEN_FLOOR_MS} ms`, OPEN_FLOOR_MS)
  return {
    name,
    unit: 'ms',
    higherIsBetter: false,
    targets: { [limit.name]: { floor: 1, goal: OPEN_FLOOR_MS / OPEN_GOAL_MS } },
    checksum,
    ours: opening(files),
    peers: [],
    limit,
    missing: [],
  }
}

function opening(files: ManifestFiles): Contender {
  return {
    name: 'ours',
    async measure() {
      let opened: ManifestStore | null = null
      const seconds = await secondsOf(async () => {
        opened = await ManifestStore.open(files, { clock: systemClock })
      })
      const store = opened as unknown as ManifestStore
      return { value: seconds * 1_000, checksum: summaryOf(store.state) }
    },
  }
}
