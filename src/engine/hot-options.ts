/** What may be asked of one partition, or one offset in it. */
import { StratalogError } from '../base/errors.ts'
import { assertKnownKeys } from './check-arguments.ts'

export interface HotOptions {
  /** Default: 0. */
  readonly partition?: number
}

export interface GetOptions extends HotOptions {
  /** As of `ReadOptions`. */
  readonly columns?: readonly string[]
}

export const NOTHING_ASKED: GetOptions = {}

const HOT_KEYS = { partition: true } as const
const GET_KEYS = { partition: true, columns: true } as const

/** @throws StratalogError `argument_invalid` for options that `call` does not take. */
export function partitionAsked(options: HotOptions, call: string): number {
  if (options === NOTHING_ASKED) return 0
  assertKnownKeys(options, HOT_KEYS, call)
  return options.partition ?? 0
}

/** As `partitionAsked`, of one record. */
export function partitionOfGet(options: GetOptions): number {
  if (options === NOTHING_ASKED) return 0
  assertKnownKeys(options, GET_KEYS, 'get')
  const { columns, partition = 0 } = options
  if (columns === undefined || Array.isArray(columns)) return partition
  throw new StratalogError('argument_invalid', 'columns is an array of names of columns.')
}
