/**
 * What `restoring.json` says: which restore a directory is of, and how far the archive was when it was planned.
 *
 *     {"stratalog":"restoring","formatVersion":2,"engineId":…,"archive":…,"selection":…,"commit":…,"plan":…}
 *
 * A restore is the same when engine, archive and selection are. The archive may have moved on between two tries: then
 * `commit`, the commit of its manifest, differs, and as a rule `plan`, the SHA-256 of what is restored. `plan` is empty
 * while what an earlier plan left is being cleared away.
 */
import { sha256Hex } from '../format/checksum.ts'
import type { RestorePlan } from './plan-restore.ts'

const FORMAT_VERSION = 2

export interface RestoringMarker {
  readonly engineId: string
  readonly archive: string
  readonly selection: unknown
  readonly commit: number
  readonly plan: string
}

/** A restore without the bytes is done in one step, so it may be finished with what the archive holds by then. */
export function markerOf(plan: RestorePlan, isLazy: boolean): RestoringMarker {
  const { url, state, number } = plan.archive
  return {
    engineId: state.engineId,
    archive: url,
    selection: plan.selected,
    commit: number,
    plan: isLazy ? 'lazy' : sha256Hex(Buffer.from(JSON.stringify(segmentsOf(plan)))),
  }
}

export function encodeMarker(marker: RestoringMarker): Uint8Array {
  const head = { stratalog: 'restoring', formatVersion: FORMAT_VERSION }
  return Buffer.from(`${JSON.stringify({ ...head, ...marker })}\n`)
}

/** The `plan` of a marker of the same restore; null where it is of another one, or no whole marker. */
export function planOfSame(bytes: Uint8Array, marker: RestoringMarker): string | null {
  const found = parsed(bytes)
  if (found === null || typeof found['commit'] !== 'number') return null
  const { commit, plan } = found
  const same = { ...marker, commit, plan: String(plan) }
  return Buffer.compare(encodeMarker(same), bytes) === 0 ? same.plan : null
}

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString())
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}

function segmentsOf(plan: RestorePlan): unknown {
  return plan.logs.map(({ source, name, bounds, segments }) => ({
    id: source.definition.id,
    name,
    bounds,
    segments: segments.map(({ partition, entry, from, to }) => [partition, entry.sha256, from, to]),
  }))
}
