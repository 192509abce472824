/**
 * For `node --import`: the process and its workers load the source with the mutant that the environment names. A worker
 * takes over what its process was started with, so that NODE_OPTIONS is the way to name this file.
 */
import { registerHooks } from 'node:module'
import { env } from 'node:process'
import { MUTANT_VARIABLE, isChanged, mutantNamed, mutate } from './mutate.ts'

const mutant = mutantNamed(env[MUTANT_VARIABLE] ?? '')

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!isChanged(mutant, url)) return loaded
    const source = Buffer.from((loaded.source ?? '') as Uint8Array).toString()
    return { ...loaded, source: mutate(mutant, url, source) }
  },
})
