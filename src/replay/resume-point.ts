/**
 * Resume points: where a replay goes on, and what was left out before. A replay that is killed gives no report, so the
 * one that ends the work tells of all gaps and damages, also of those that others met.
 */
import type { CorruptObject, MissingObject } from '../log/segment-damage.ts'
import type { OffsetGap } from '../log/view-reader.ts'
import type { ResumePoint } from './report.ts'

interface LeftOut {
  readonly gaps: readonly OffsetGap[]
  readonly missing: readonly MissingObject[]
  readonly corrupt: readonly CorruptObject[]
}

interface Offsets {
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** What is found ahead of the positions is found again. */
export function resumePointOf(
  logs: readonly (ResumePoint['logs'][number] & Pick<LeftOut, 'gaps'>)[],
  damages: Omit<LeftOut, 'gaps'>,
): ResumePoint {
  const isPassed = (log: string, { partition, from }: Offsets): boolean => {
    const { partitions = [] } = logs.find(({ name }) => name === log) ?? {}
    return partitions.some((place) => place.partition === partition && from < place.offset)
  }
  const missing = damages.missing.filter((object) => isPassed(object.log, object))
  const corrupt = damages.corrupt.filter((object) => isPassed(object.log, object))
  return {
    logs: logs.map(({ name, partitions, gaps }) => {
      const passed = gaps.filter((gap) => isPassed(name, gap))
      return { name, partitions, ...(passed.length === 0 ? {} : { gaps: passed }) }
    }),
    ...(missing.length === 0 ? {} : { missing }),
    ...(corrupt.length === 0 ? {} : { corrupt }),
  }
}

/** Of one partition before `offset`; from there on it is read again. */
export function leftOutBefore(
  { logs, missing = [], corrupt = [] }: ResumePoint,
  log: string,
  partition: number,
  offset: number,
): LeftOut {
  const { gaps = [] } = logs.find(({ name }) => name === log) ?? {}
  const before = <Left extends Offsets>(all: readonly Left[]): readonly Left[] =>
    all
      .filter((left) => left.partition === partition && left.from < offset)
      .map((left) => ({ ...left, to: Math.min(left.to, offset) }))
  return {
    gaps: before(gaps),
    missing: before(missing.filter((object) => object.log === log)),
    corrupt: before(corrupt.filter((object) => object.log === log)),
  }
}

type Fields = Readonly<Record<string, unknown>> | null

/** Whether it may be one: it comes from outside. */
export function isResumePoint(value: unknown): value is ResumePoint {
  const point = Object(value) as Readonly<Record<string, unknown>>
  const isLog = (log: Fields): boolean =>
    typeof log?.['name'] === 'string' &&
    isListOf(log['partitions'], (place) => hasCounts(place, ['partition', 'offset', 'records'])) &&
    isListOf(log['gaps'] ?? [], hasOffsets)
  const isDamage = (object: Fields): boolean =>
    typeof object?.['key'] === 'string' && typeof object['log'] === 'string' && hasOffsets(object)
  return (
    isListOf(point['logs'], isLog) &&
    isListOf(point['missing'] ?? [], isDamage) &&
    isListOf(point['corrupt'] ?? [], isDamage)
  )
}

function isListOf(value: unknown, is: (item: Fields) => boolean): boolean {
  return Array.isArray(value) && value.every((item: Fields) => is(item))
}

const hasOffsets = (item: Fields): boolean => hasCounts(item, ['partition', 'from', 'to'])

function hasCounts(item: Fields, names: readonly string[]): boolean {
  return names.every((name) => Number.isSafeInteger(item?.[name]) && Number(item?.[name]) >= 0)
}
