/** A process that looks at damaged places, one after the other, as its parent names their seeds. */
import process from 'node:process'
import { observe } from './observe.ts'

const [root = '', scratch = ''] = process.argv.slice(2)

process.on('message', (seed: number) => {
  void observe(seed, root, scratch).then((observation) => process.send?.(observation))
})
process.send?.('ready')
