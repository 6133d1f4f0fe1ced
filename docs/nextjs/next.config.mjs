// The browser talks to this application alone; what begins with /api goes on to comfy-relay.

const relay = process.env.COMFY_RELAY_URL ?? "http://127.0.0.1:8000";

export default {
  // Next.js compresses what it passes on, and a compressed event stream comes when some kilobytes are together.
  compress: false,
  rewrites: async () => [{ source: "/api/:path*", destination: `${relay}/api/:path*` }],
};
