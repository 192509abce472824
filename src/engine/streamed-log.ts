/** A log as a continuous query reads it: of the engine that appends to it, or of a directory that another writes. */
import { StratalogError } from '../base/errors.ts'
import { STAMPED_TIME_COLUMN } from '../format/schema.ts'
import { userFields } from '../format/schema-evolution.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { StreamedLog } from '../query/stream/stream-ports.ts'
import type { Engine } from './engine.ts'
import type { LiveDirectory } from './live-directory.ts'
import { readableLog } from './readable-log.ts'

/** @throws StratalogError `log_not_found`; everything that the log is asked for, `engine_closed` too. */
export function streamedLog(engine: Engine, name: string, assertOpen: () => void): StreamedLog {
  assertOpen()
  const { registry } = engine
  const log = registry.get(name)
  const assertThere = (): void => {
    assertOpen()
    // Detached, or another one of the same name by now.
    if (!registry.has(name) || registry.get(name) !== log) throw gone(name)
  }
  const readable = readableLog(log, assertThere)
  return {
    ...factsOf(log),
    columns: () => columnsOf(log),
    rangeOf: (partition) => readable.rangeOf(partition),
    newestStart: (partition, count) => readable.newestStart(partition, count),
    viewOf: (partition, from, to) => readable.viewOf(partition, from, to),
    pin: (ranges) => {
      assertThere()
      return log.view(ranges)
    },
    waitFor: (partition, offset, signal) => readable.waitFor(partition, offset, signal),
  }
}

/** The query waits for all partitions at once, and a directory is opened anew once for all of them. */
export function followedLog(directory: LiveDirectory): StreamedLog {
  let offsets = new Map<number, number>()
  let waiting: Promise<void> | null = null
  return {
    ...factsOf(directory.log),
    columns: () => columnsOf(directory.log),
    rangeOf: (partition) => directory.rangeOf(partition),
    newestStart: (partition, count) => directory.newestStart(partition, count),
    viewOf: (partition, from, to) => directory.viewOf(partition, from, to),
    pin: (ranges) => directory.log.view(ranges),
    waitFor: (partition, offset, signal) => {
      offsets.set(partition, offset)
      waiting ??= Promise.resolve().then(() => {
        const wanted = offsets
        offsets = new Map()
        waiting = null
        return directory.waitForAny(wanted, signal)
      })
      return waiting
    },
  }
}

function factsOf(log: LiveLog): Pick<StreamedLog, 'id' | 'name' | 'timeColumn' | 'partitionCount'> {
  const { id, name, definition, partitions } = log
  return {
    id,
    name,
    timeColumn: definition.timeColumn ?? STAMPED_TIME_COLUMN,
    partitionCount: partitions.length,
  }
}

function columnsOf({ schema }: LiveLog): readonly string[] | null {
  return schema === null ? null : userFields(schema).map(({ name }) => name)
}

function gone(name: string): StratalogError {
  return new StratalogError('log_not_found', `The log '${name}' is not there any more.`, {
    details: { log: name, nearest: null },
  })
}
