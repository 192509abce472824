/** A part of a restore plan, for a drill that has no time for all of it. */
import { StratalogError } from '../base/errors.ts'
import { type Random, randomFraction } from '../base/random.ts'
import type { PlannedLog, PlannedSegment, RestorePlan } from './plan-restore.ts'

/**
 * Of each partition one run of neighbouring segments, at random: about `fraction` of them, and at least one. What is
 * restored of it has no gaps, so it can be verified as a whole can.
 * @throws StratalogError `argument_invalid` unless `fraction` is above 0 and at most 1.
 */
export function samplePlan(plan: RestorePlan, fraction: number, random: Random): RestorePlan {
  if (typeof fraction !== 'number' || !(fraction > 0 && fraction <= 1)) {
    throw new StratalogError(
      'argument_invalid',
      `A sample is a part above 0 and at most 1; got ${String(fraction)}.`,
    )
  }
  if (fraction === 1) return plan
  const logs = plan.logs.map((log) => sampleLog(log, fraction, random))
  const segments = logs.flatMap((log) => log.segments)
  const bytes = segments.reduce((sum, segment) => sum + segment.entry.length, 0)
  const summary = { logs: logs.length, segments: segments.length, bytes, requests: segments.length }
  return { ...plan, isWhole: false, logs, summary }
}

function sampleLog(log: PlannedLog, fraction: number, random: Random): PlannedLog {
  const runs = log.bounds.map((cut) => {
    const held = log.segments.filter((segment) => segment.partition === cut.partition)
    return { cut, segments: sampleRun(held, fraction, random) }
  })
  return {
    ...log,
    segments: runs.flatMap(({ segments }) => segments),
    bounds: runs.map(({ cut, segments }) => ({
      ...cut,
      startOffset: segments[0]?.from ?? cut.startOffset,
      endOffset: segments.at(-1)?.to ?? cut.endOffset,
    })),
  }
}

/** Neighbours without a gap between them: a run ends where the offsets do not go on. */
function sampleRun(
  segments: readonly PlannedSegment[],
  fraction: number,
  random: Random,
): readonly PlannedSegment[] {
  const count = Math.ceil(segments.length * fraction)
  const first = Math.floor(randomFraction(random) * (segments.length - count + 1))
  const run = segments.slice(first, first + count)
  const gap = run.findIndex((segment, index) => index > 0 && segment.from !== run[index - 1]?.to)
  return gap === -1 ? run : run.slice(0, gap)
}
