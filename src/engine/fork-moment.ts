/** Where a fork begins to be a log of its own. */
import type { Range } from '../base/range.ts'
import { StratalogError } from '../base/errors.ts'
import type { LogOrigin } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import { offsetAtMoment } from '../log/offset-at-moment.ts'
import type { ForkEngine, ForkOptions } from './fork-options.ts'

/** By partition: where a fork ends, and what the snapshot has that it is of. */
export interface Wanted {
  readonly ends: readonly number[]
  readonly pinned: readonly (Range | null)[] | null
}

/** What is visible now where nothing else is asked for. */
export async function wantedOf(
  { snapshots }: Pick<ForkEngine, 'snapshots'>,
  source: LiveLog,
  { atOffset, at, snapshot }: ForkOptions,
): Promise<Wanted> {
  if ([atOffset, at, snapshot].filter((given) => given !== undefined).length > 1)
    throw invalid('Give one of atOffset, at and snapshot: each says where the fork begins.', {})
  const visible = source.partitions.map(({ readableEnd }) => readableEnd)
  if (atOffset !== undefined) {
    const [end = 0] = visible
    const start = source.partitions[0]?.startOffset ?? 0
    if (visible.length > 1)
      throw invalid(
        `Log '${source.name}' has ${visible.length} partitions, and an offset names one. Give a time or a snapshot.`,
        { log: source.name, partitions: visible.length },
      )
    if (!Number.isSafeInteger(atOffset) || atOffset < start || atOffset > end)
      throw invalid(`Log '${source.name}' has offsets ${start} to ${end}; ${atOffset} is none.`, {
        log: source.name,
        atOffset,
        startOffset: start,
        endOffset: end,
      })
    return { ends: [atOffset], pinned: null }
  }
  if (snapshot === undefined) return { ends: visible, pinned: null }
  const found = (await snapshots?.list())?.findLast(
    ({ name, id }) => name === snapshot || id === snapshot,
  )
  const held = found?.logs.find(({ id }) => id === source.id)
  if (held === undefined)
    throw new StratalogError(
      'snapshot_not_found',
      `There is no snapshot '${snapshot}' that holds log '${source.name}'.`,
      { details: { snapshot, log: source.name } },
    )
  const pinned = visible.map((end, partition) => {
    const part = held.partitions.find((candidate) => candidate.partition === partition)
    return part === undefined
      ? null
      : { start: part.startOffset, end: Math.min(end, part.endOffset) }
  })
  return { ends: pinned.map((part) => part?.end ?? 0), pinned }
}

export function notShared(
  { name }: LiveLog,
  partition: number,
  { start: from, end: to }: Range,
  snapshot: string,
): StratalogError {
  return new StratalogError(
    'offset_gap',
    `Log '${name}', partition ${partition} has let go of offsets [${from}, ${to}) since snapshot '${snapshot}' was made, so a fork cannot share them. Restore the log from the snapshot under another name: that copies them.`,
    { details: { log: name, partition, from, to, snapshot } },
  )
}

/** What the source shares itself lies before what it wrote. */
export function originsOf({ definition }: LiveLog, ends: readonly number[]): readonly LogOrigin[] {
  const clipped = (definition.origins ?? []).map(({ logId, endOffsets }) => ({
    logId,
    endOffsets: endOffsets.map((end, partition) => Math.min(end, ends[partition] ?? 0)),
  }))
  return [...clipped, { logId: definition.id, endOffsets: ends }]
}

/** By partition; what had been appended by then. */
export async function endsAt(source: LiveLog, at: number): Promise<readonly number[]> {
  const view = source.view()
  try {
    return await Promise.all(
      view.partitions.map(({ partition }) => offsetAtMoment(view, partition, at)),
    )
  } finally {
    view.release()
  }
}

function invalid(message: string, details: Readonly<Record<string, unknown>>): StratalogError {
  return new StratalogError('argument_invalid', message, { details })
}
