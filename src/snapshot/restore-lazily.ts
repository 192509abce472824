/**
 * Restores the whole of an archive as names only: the manifest is taken over, page by page, and every segment keeps its
 * object copy and no other. The directory is there at once, however much the archive holds; what is read is fetched,
 * and the engine that opens it fills its disk (tiering/recalls.ts).
 *
 * Only the whole of an archive is restored so: it is the same engine again, and its own manifest keeps the objects. A
 * part becomes another engine, and nothing would keep the archive from collecting what only that one still needs.
 */
import { throwIfAborted } from '../base/errors.ts'
import { SpentTime } from '../base/spent-time.ts'
import { IdRanges } from '../format/id-ranges.ts'
import { LogMap } from '../format/log-map.ts'
import type { LogState, ManifestState, NotedArchive } from '../format/manifest.ts'
import { SEGMENTS_DIRECTORY } from '../format/paths.ts'
import { beginManifest } from '../log/manifest-copy.ts'
import {
  type ManifestFiles,
  manifestFilesInDirectory,
  manifestFilesInStore,
} from '../log/manifest-files.ts'
import { DamageList } from '../log/segment-damage.ts'
import { type PlannedSegment, type RestorePlan, plannedRecords } from './plan-restore.ts'
import { RestoreDirectory } from './restore-directory.ts'
import {
  type RestoreLimit,
  type RestoreOptions,
  type RestoreResult,
  type RestoreTarget,
  gapsOf,
} from './restore.ts'

/** Up to so many segments are looked for in a listing of the archive: ten requests. */
export const LOOKED_FOR_MAX = 10_000

/** @throws StratalogError as `restore`. `noted` is how the archive is reached again. */
export async function restoreLazily(
  plan: RestorePlan,
  target: RestoreTarget,
  noted: NotedArchive,
  { signal }: RestoreOptions = {},
): Promise<RestoreResult> {
  const { fileSystem, dataDir, clock, writer } = target
  const startedMs = clock.monotonic()
  const directory = new RestoreDirectory(fileSystem, dataDir)
  await directory.begin(plan, true)
  throwIfAborted(signal)
  const { archive } = plan
  const spent = new SpentTime<RestoreLimit>(clock)
  await beginManifest(
    timed(manifestFilesInDirectory(fileSystem, dataDir), 'disk', spent),
    timed(manifestFilesInStore(archive.store), 'store', spent),
    beginningOf(archive.state, noted),
    { writer, time: clock.now() },
  )
  const damages = await spent.during('store', () => lookForObjects(plan, signal))
  await directory.finish(archive.state.engineId)
  const records = [...plannedRecords(plan).values()].reduce((sum, count) => sum + count, 0)
  return {
    plan: plan.summary,
    engineId: archive.state.engineId,
    isLazy: true,
    records,
    elapsedMs: Math.round(clock.monotonic() - startedMs),
    verified: false,
    limitedBy: spent.most,
    missing: damages.missing,
    corrupt: damages.corrupt,
    gaps: plan.logs.flatMap(gapsOf),
  }
}

function timed(
  files: ManifestFiles,
  what: RestoreLimit,
  spent: SpentTime<RestoreLimit>,
): ManifestFiles {
  return {
    ...files,
    read: (file) => spent.during(what, () => files.read(file)),
    putIfAbsent: (file, bytes) => spent.during(what, () => files.putIfAbsent(file, bytes)),
  }
}

/** Retired segments, deleted logs and snapshots are the archive's business. */
function beginningOf(state: ManifestState, archive: NotedArchive): ManifestState {
  const changed = new Map<number, LogState | null>()
  for (const [id, log] of state.logs) {
    if (log.deletedAt !== undefined) {
      changed.set(id, null)
      continue
    }
    if (log.partitions.every(({ retired }) => retired === undefined)) continue
    const partitions = log.partitions.map((partition) => {
      const { retired, ...rest } = partition
      return retired === undefined ? partition : rest
    })
    changed.set(id, { ...log, partitions })
  }
  const logs = state.logs instanceof LogMap ? state.logs : LogMap.empty.with(state.logs)
  return {
    ...state,
    deletedLogIds: IdRanges.empty,
    snapshots: new Map(),
    logs: logs.with(changed),
    archive,
  }
}

/** Which objects are not there, or not as long as they must be. Of a great archive nothing is asked. */
async function lookForObjects(plan: RestorePlan, signal?: AbortSignal): Promise<DamageList> {
  const damages = new DamageList()
  if (plan.summary.segments > LOOKED_FOR_MAX) return damages
  const { store } = plan.archive
  const lengths = new Map<string, number>()
  for await (const { key, length } of store.list(`${SEGMENTS_DIRECTORY}/`)) {
    throwIfAborted(signal)
    lengths.set(key, length)
  }
  for (const { source, segments } of plan.logs) {
    for (const segment of segments) {
      const { object } = segment.entry
      if (object === null) continue
      const length = lengths.get(object.object) ?? (await store.head(object.object))?.length ?? null
      const damage = damageOfLength(segment, length)
      if (damage === null) continue
      damages.add(object.object, source.definition.name, segment.partition, damage)
    }
  }
  return damages
}

function damageOfLength(
  { entry, from, to }: PlannedSegment,
  found: number | null,
): Parameters<DamageList['add']>[3] | null {
  const end = (entry.object?.position ?? 0) + entry.length
  if (found !== null && found >= end) return null
  const kind = found === null ? 'missing' : 'truncated'
  const reason = found === null ? 'There is no such object.' : `It ends at ${found}, not at ${end}.`
  return { kind, from, to, position: found, reason }
}
