/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_long: requests that take long, each on a thread of its own, so that
 * the others are answered meanwhile.
 *
 * The connection is suspended: the HTTP engine leaves it alone until it is
 * resumed, and then asks for the answer.  So a request is its thread's from
 * control_long_start() to the resume, and the engine's before and after.
 */
#include <microhttpd.h>

#include "depot/log.h"
#include "nfsd/control_request.h"

static void *control_long_run(void *arg)
{
	struct control_request *req = arg;
	struct control *control = req->control;
	struct MHD_Connection *conn = req->conn;
	bool had_depot = req->route->flags & ROUTE_DEPOT;

	control_run(req);
	req->handled = true;
	/* Before the answer: who has it may ask for the depot, or for the next
	 * step of something long. */
	pthread_mutex_lock(&control->lock);
	control->long_running--;
	if (had_depot)
		control->depot_busy = false;
	pthread_mutex_unlock(&control->lock);
	/* From here on req is the engine's; control lives until the count is
	 * 0. */
	MHD_resume_connection(conn);
	pthread_mutex_lock(&control->lock);
	if (--control->long_count == 0)
		pthread_cond_broadcast(&control->idle);
	pthread_mutex_unlock(&control->lock);
	return NULL;
}

static int control_long_refuse(struct control_request *req, const char *why)
{
	return control_refuse(req, -EAGAIN, "the same again in a moment",
			      "%s: %s", req->route->path, why);
}

/* lock; NULL: it may begin, and is counted. */
static const char *control_long_enter(struct control *control, bool depot)
{
	if (control->stopping)
		return "the daemon is ending";
	if (control->long_running >= CONTROL_LONG_MAX)
		return "too many long requests are under way";
	if (depot && control->depot_busy)
		return "another guest or package is just being taken over";
	control->long_count++;
	control->long_running++;
	control->depot_busy |= depot;
	return NULL;
}

int control_long_start(struct control_request *req)
{
	struct control *control = req->control;
	bool depot = req->route->flags & ROUTE_DEPOT;
	pthread_attr_t attr;
	pthread_t thread;
	const char *why;
	int rc;

	pthread_mutex_lock(&control->lock);
	why = control_long_enter(control, depot);
	pthread_mutex_unlock(&control->lock);
	if (why)
		return control_long_refuse(req, why);
	MHD_suspend_connection(req->conn);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = -pthread_create(&thread, &attr, control_long_run, req);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		return 0;
	/* Then here, and the others wait. */
	log_warn("control: no thread for %s", req->route->path);
	control_long_run(req);
	return 0;
}

int control_depot_free(struct control_request *req)
{
	struct control *control = req->control;
	bool busy;

	pthread_mutex_lock(&control->lock);
	busy = control->depot_busy;
	pthread_mutex_unlock(&control->lock);
	if (!busy)
		return 0;
	return control_long_refuse(
	    req, "a guest or package is just being taken over");
}

bool control_is_stopping(struct control *control)
{
	bool stopping;

	pthread_mutex_lock(&control->lock);
	stopping = control->stopping;
	pthread_mutex_unlock(&control->lock);
	return stopping;
}

void control_long_stop(struct control *control)
{
	pthread_mutex_lock(&control->lock);
	control->stopping = true;
	while (control->long_count > 0)
		pthread_cond_wait(&control->idle, &control->lock);
	pthread_mutex_unlock(&control->lock);
}
