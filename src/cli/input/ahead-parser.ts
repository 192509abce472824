/**
 * Has blocks of lines parsed on a thread of its own, a block ahead of whoever takes them. A block that the thread
 * cannot make columns of comes without them; so do all behind the first few, where lines are never what it can.
 */
import { assert } from '../../base/assert.ts'
import { LineParser, type ParsedLines } from '../../engine/line-parser.ts'
import { spawnParser } from '../../engine/workers/spawn-parser.ts'
import type { Field } from '../../format/schema.ts'
import { PASSING_CHUNKS } from './input-file.ts'
import type { LineBlock } from './lines.ts'

export interface ParsedBlock {
  readonly block: LineBlock
  readonly columns: ParsedLines | null
}

/** Blocks that are with the thread, or wait for it. */
const AHEAD = 2
assert(AHEAD < PASSING_CHUNKS, 'the bytes of a block hold until its turn')
/** Misses in a row that are enough. */
const MISSES_MAX = 4

export class AheadParser {
  readonly #parser = new LineParser(spawnParser)
  #misses = 0

  /** @param fieldsOf the columns of the log, asked for each block; none while it has none. */
  async *parse(
    blocks: AsyncIterable<LineBlock>,
    fieldsOf: () => Promise<readonly Field[]>,
  ): AsyncGenerator<ParsedBlock, void, undefined> {
    const ahead: Array<Promise<ParsedBlock>> = []
    for await (const block of blocks) {
      const fields = await fieldsOf()
      ahead.push(this.#parse(block, fields))
      // The first block says what the columns are.
      const isAhead = ahead.length > (fields.length === 0 ? 0 : AHEAD)
      const next = isAhead ? ahead.shift() : undefined
      if (next !== undefined) yield await next
    }
    for (const next of ahead) yield await next
  }

  async close(): Promise<void> {
    await this.#parser.close()
  }

  async #parse(block: LineBlock, fields: readonly Field[]): Promise<ParsedBlock> {
    const { parts } = block
    const asked =
      parts === null || this.#misses >= MISSES_MAX ? null : this.#parser.parse(parts, fields)
    if (asked === null) return { block, columns: null }
    const columns = await asked
    this.#misses = columns === null ? this.#misses + 1 : 0
    return { block, columns }
  }
}
